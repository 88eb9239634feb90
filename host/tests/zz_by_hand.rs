//! Temporary: by hand against a probe component.
use bytes::Bytes;
use http::Request;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use volume_snapshots_host::*;

static APPLICATION: LazyLock<Application> = LazyLock::new(|| {
    let start = Instant::now();
    let a = Application::load("/tmp/host-run/probe.toml").unwrap();
    eprintln!("loaded in {:?}", start.elapsed());
    a
});

fn get(path: &str) -> Request<Bytes> {
    Request::get(path).body(Bytes::new()).unwrap()
}
async fn text(app: &App, path: &str) -> String {
    let r = app.handle(get(path)).await.unwrap();
    format!("{} {}", r.status().as_u16(), String::from_utf8_lossy(r.body()))
}

#[tokio::test(flavor = "multi_thread")]
async fn table() {
    let app = APPLICATION
        .instance_with(
            Options { output: Output::captured(), clock: Clock::manual_at_seconds(1000), ..Options::default() }
                .variable("auth_mode", "headers"),
        )
        .unwrap();
    for p in [
        "/",
        "/headers?x=1",
        "/clock",
        "/denied",
        "/stores",
        "/swaps",
        "/refused",
        "/cursor",
        "/many",
        "/variable?auth_mode",
        "/print",
        "/length",
    ] {
        println!("{p}: {}", text(&app, p).await);
    }
    app.clock().advance(Duration::from_secs(60));
    println!("clock {}", text(&app, "/clock").await);
    println!("{:?}", app.output().lines());
    assert_eq!(app.traps(), 0);
    app.tick(7).await.unwrap();
    println!("{:?}", app.tick(13).await);
    assert_eq!(app.traps(), 0);
    println!("{:?}", app.tick(14).await);
    assert_eq!(app.traps(), 1);
    println!("{}", text(&app, "/trap").await);
    assert_eq!(app.traps(), 2);
    println!("{}", text(&app, "/eat").await);
    assert_eq!(app.traps(), 3);
    println!("{:?}", app.output().lines());
    println!("{} {}", text(&app, "/bad").await, text(&app, "/read").await);
    assert_eq!(app.traps(), 5);
    println!("{}", text(&app, "/clock").await);
    for n in [1usize << 20, 100 << 20] {
        let t = Instant::now();
        let r = app.handle(Request::post("/length").body(Bytes::from(vec![b'x'; n])).unwrap()).await.unwrap();
        println!("length {:?} {:?}", r.body(), t.elapsed());
    }
    let t = Instant::now();
    let r = app.handle(get("/big")).await.unwrap();
    println!("big {} {:?}", r.body().len(), t.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn runaway() {
    let app =
        APPLICATION.instance_with(Options { deadline: Duration::from_millis(300), ..Options::default() }).unwrap();
    let t = Instant::now();
    let (a, b) = tokio::join!(text(&app, "/loop"), text(&app, "/"));
    println!("{a} {b} {:?} traps {}", t.elapsed(), app.traps());
    println!("{}", text(&app, "/out?http://127.0.0.1:9/").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_at_every_call() {
    for n in 1.. {
        let memory = Arc::new(MemoryStore::new());
        let faults = Faults::new(memory.clone());
        faults.plan(When::Call(n), Fault::KillAfter);
        let app = APPLICATION.instance_with(Options { store: Arc::new(faults.clone()), ..Options::default() }).unwrap();
        let a = text(&app, "/sets").await;
        println!("{n} {a} traps {} commits {} rows {}", app.traps(), faults.commits(), memory.rows("default").len());
        if faults.calls().len() < n {
            break;
        }
    }
    let faults = Faults::new(Arc::new(MemoryStore::new()));
    faults.plan(When::Next(CallKind::Set), Fault::database_is_locked());
    let app = APPLICATION.instance_with(Options { store: Arc::new(faults.clone()), ..Options::default() }).unwrap();
    println!("{}", text(&app, "/sets").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn outbound() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = APPLICATION
        .instance_with(
            Options::default().variable("keystone_host", "127.0.0.1").variable("keystone_port", &port.to_string()),
        )
        .unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = {
        let app = app.clone();
        tokio::spawn(async move {
            app.serve(listener, async {
                let _ = stopped.await;
            })
            .await
        })
    };
    println!("{}", text(&app, &format!("/out?http://127.0.0.1:{port}/hi")).await);
    println!("{}", text(&app, &format!("/out?http://127.0.0.1:{port}/headers")).await);
    println!("{}", text(&app, &format!("/out?http://localhost:{port}/hi")).await);
    println!("{}", text(&app, "/out?https://127.0.0.1:4433/hi").await);
    println!("{}", text(&app, "/out?http://127.0.0.1:1/hi").await);
    let r = app
        .handle(
            Request::post(format!("/post-out?http://127.0.0.1:{port}/echo"))
                .body(Bytes::from(vec![b'x'; 3 << 20]))
                .unwrap(),
        )
        .await
        .unwrap();
    println!("{:?}", r.body());
    let url = format!("/out?http://127.0.0.1:{port}/trap");
    let (status_a, status_b) = tokio::join!(text(&app, &url), text(&app, "/x"));
    println!("{status_a} {status_b}");
    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sequential_speed() {
    let app = APPLICATION.instance().unwrap();
    text(&app, "/").await;
    let t = Instant::now();
    for _ in 0..1000 {
        text(&app, "/").await;
    }
    println!("in process {:?} per request", t.elapsed() / 1000);
    let t = Instant::now();
    for _ in 0..1000 {
        APPLICATION.instance().unwrap();
    }
    println!("instance {:?}", t.elapsed() / 1000);
}

#[tokio::test]
async fn current_thread() {
    let app = APPLICATION.instance().unwrap();
    println!("current_thread memory: {}", text(&app, "/sets").await);
    let app = APPLICATION
        .instance_with(Options {
            store: Arc::new(SqliteStore::open("/tmp/host-run/ct.db").unwrap()),
            ..Options::default()
        })
        .unwrap();
    println!("current_thread sqlite: {}", text(&app, "/sets").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn interleaved() {
    let faults = Faults::new(Arc::new(MemoryStore::new()));
    let app = APPLICATION.instance_with(Options { store: Arc::new(faults.clone()), ..Options::default() }).unwrap();
    let other = app.clone();
    faults.plan(
        When::Call(3),
        Fault::run(move || {
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async {
                    println!("inner {}", text(&other, "/sets").await);
                })
            })
        }),
    );
    println!("outer {}", text(&app, "/sets").await);
    println!("{:?}", faults.calls().iter().map(|c| c.keys.join("")).collect::<Vec<_>>());
}
