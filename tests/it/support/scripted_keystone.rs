//! A scripted Keystone: it logs one service user in, validates the tokens that a test has set, and can misbehave. It
//! only knows the part of Keystone's API that validation needs.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

/// The password of the service user.
pub const PASSWORD: &str = "the-password-of-cinder";

/// The way in which a request is answered.
#[derive(Debug, Clone)]
pub enum Manner {
    /// Like Keystone.
    Properly,
    /// Like Keystone, but after this time.
    Late(Duration),
    /// Like Keystone, but with this time between the bytes of the body.
    DropByDrop(Duration),
    /// No answer: the connection is closed.
    HangsUp,
    /// An incomplete answer: the connection is closed before the announced body.
    BreaksOff,
    /// An answer with this status, these header lines, and this body.
    Says(u16, &'static str, &'static str),
    /// An answer whose body has this many bytes.
    AtLength(usize),
}

/// A request.
#[derive(Debug, Clone)]
pub struct Question {
    /// The method, path, and query.
    pub line: String,
    /// The headers, with names in lower case.
    pub headers: HashMap<String, String>,
    pub body: Value,
}

/// The knowledge and the behaviour of a Keystone.
#[derive(Debug)]
pub struct Script {
    /// The answers about tokens, by token.
    pub tokens: HashMap<String, Value>,
    pub on_login: Manner,
    pub on_validation: Manner,
    /// The tokens of the service user that it still accepts.
    pub own_tokens: HashSet<String>,
    /// The time at which the next token of the service user expires.
    pub own_tokens_expire: String,
    pub questions: Vec<Question>,
    logins: usize,
}

/// A running Keystone. It ends with the test.
#[derive(Debug, Clone)]
pub struct ScriptedKeystone {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
}

impl ScriptedKeystone {
    /// Starts a Keystone without tokens.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let script = Arc::new(Mutex::new(Script {
            tokens: HashMap::new(),
            on_login: Manner::Properly,
            on_validation: Manner::Properly,
            own_tokens: HashSet::new(),
            own_tokens_expire: "2099-01-01T00:00:00.000000Z".to_owned(),
            questions: Vec::new(),
            logins: 0,
        }));
        let keystone = Self { address, script };
        let serving = keystone.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let keystone = serving.clone();
                std::thread::spawn(move || keystone.answer(&stream));
            }
        });
        keystone
    }

    /// Returns its URL, in the form of the variable `keystone_url`.
    pub fn url(&self) -> String {
        format!("http://{}/v3", self.address)
    }

    /// Returns its knowledge and behaviour, which the test may change.
    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the numbers of logins and of validated tokens since the last call of this function.
    pub fn asked(&self) -> (usize, usize) {
        let questions = std::mem::take(&mut self.script().questions);
        let logins = questions.iter().filter(|question| question.line.starts_with("POST ")).count();
        (logins, questions.len() - logins)
    }

    fn answer(&self, stream: &TcpStream) {
        let Some(question) = read(stream) else { return };
        let (manner, answer) = {
            let mut script = self.script();
            script.questions.push(question.clone());
            if question.line.starts_with("POST ") {
                (script.on_login.clone(), script.log_in(&question))
            } else {
                (script.on_validation.clone(), script.validate(&question))
            }
        };
        // The client may be gone.
        let _ = write(stream, &manner, &answer);
    }
}

type Said = (u16, String, String);

fn refused(status: u16) -> Said {
    let body = json!({ "error": { "code": status, "title": "No", "message": "No." } });
    (status, String::new(), body.to_string())
}

impl Script {
    fn log_in(&mut self, question: &Question) -> Said {
        let auth = &question.body["auth"];
        let user = &auth["identity"]["password"]["user"];
        let is_right = question.line == "POST /v3/auth/tokens?nocatalog HTTP/1.1"
            && question.headers.get("content-type").is_some_and(|media_type| media_type == "application/json")
            && auth["identity"]["methods"] == json!(["password"])
            && *user == json!({ "name": "cinder", "domain": { "name": "Default" }, "password": PASSWORD })
            && auth["scope"] == json!({ "project": { "name": "service", "domain": { "name": "Default" } } });
        if !is_right {
            return refused(401);
        }
        self.logins += 1;
        let token = format!("own-token-{}", self.logins);
        self.own_tokens.insert(token.clone());
        let body = json!({ "token": { "expires_at": self.own_tokens_expire, "user": { "id": "cinder" } } });
        (201, format!("X-Subject-Token: {token}\r\n"), body.to_string())
    }

    fn validate(&self, question: &Question) -> Said {
        let header = |name: &str| question.headers.get(name).map_or("", String::as_str);
        if !self.own_tokens.contains(header("x-auth-token")) {
            return refused(401);
        }
        let may_be_expired = match question.line.as_str() {
            "GET /v3/auth/tokens?nocatalog HTTP/1.1" => false,
            "GET /v3/auth/tokens?nocatalog&allow_expired=1 HTTP/1.1" => true,
            _ => return refused(400),
        };
        match self.tokens.get(header("x-subject-token")) {
            // Keystone does not find an expired token. The test marks such a token with this field.
            Some(token) if token["is_known_to_be_expired"] == true && !may_be_expired => refused(404),
            Some(token) => (200, String::new(), json!({ "token": token }).to_string()),
            None => refused(404),
        }
    }
}

fn read(stream: &TcpStream) -> Option<Question> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut headers = HashMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Some(Question { line: line.trim_end().to_owned(), headers, body })
}

fn write(mut stream: &TcpStream, manner: &Manner, (status, headers, body): &Said) -> std::io::Result<()> {
    let head = |status: u16, headers: &str, length: usize| {
        format!("HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\n\r\n")
    };
    let whole = head(*status, headers, body.len()) + body;
    match manner {
        Manner::Properly => stream.write_all(whole.as_bytes()),
        Manner::Late(time) => {
            std::thread::sleep(*time);
            stream.write_all(whole.as_bytes())
        }
        Manner::DropByDrop(time) => {
            stream.write_all(head(*status, headers, body.len()).as_bytes())?;
            for byte in body.as_bytes() {
                stream.write_all(&[*byte])?;
                std::thread::sleep(*time);
            }
            Ok(())
        }
        Manner::HangsUp => Ok(()),
        Manner::BreaksOff => stream.write_all((head(*status, headers, body.len() + 1) + body).as_bytes()),
        Manner::Says(status, headers, body) => stream.write_all((head(*status, headers, body.len()) + body).as_bytes()),
        Manner::AtLength(length) => {
            stream.write_all(head(*status, headers, *length).as_bytes())?;
            stream.write_all(&vec![b' '; *length])
        }
    }
}
