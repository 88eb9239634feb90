"""Tests of the pytest plugin, with openstacksdk and cinderclient. `tests/wheel/check.py` runs them on the installed wheel."""

import time
import urllib.error
import urllib.request

import keystoneauth1.loading
import keystoneauth1.session
import openstack
import pytest
from cinderclient import client as cinder

pytest_plugins = ["pytester"]

FAR = 3600  # seconds by which all work is due


def connect(project, **options):
    return openstack.connect(load_yaml_config=False, load_envvars=False, **project.cloud(**options))


def new_volume(connection, name="data"):
    volume = connection.block_storage.create_volume(size=1, name=name)
    return connection.block_storage.get_volume(volume)


def test_a_snapshot_lives_in_openstacksdk(volume_snapshots):
    storage = connect(volume_snapshots).block_storage
    volume = storage.create_volume(size=1, name="data")
    volume_snapshots.advance(FAR)
    snapshot = storage.create_snapshot(volume_id=volume.id, name="nightly")
    assert snapshot.status == "creating"
    volume_snapshots.advance(FAR)
    assert [(own.name, own.status) for own in storage.snapshots()] == [("nightly", "available")]
    storage.delete_snapshot(snapshot)
    volume_snapshots.advance(FAR)
    assert list(storage.snapshots()) == []


def test_a_snapshot_lives_in_cinderclient(volume_snapshots):
    loader = keystoneauth1.loading.get_plugin_loader("password")
    session = keystoneauth1.session.Session(auth=loader.load_from_options(**volume_snapshots.cloud()["auth"]))
    client = cinder.Client("3.71", session=session)
    volume = client.volumes.create(1, name="data")
    volume_snapshots.advance(FAR)
    snapshot = client.volume_snapshots.create(volume.id, name="nightly", metadata={"tier": "gold"})
    volume_snapshots.advance(FAR)
    snapshot = client.volume_snapshots.get(snapshot.id)
    assert (snapshot.status, snapshot.metadata) == ("available", {"tier": "gold"})


@pytest.mark.parametrize("number", range(8))
def test_each_test_has_a_fresh_project(volume_snapshots, number):
    storage = connect(volume_snapshots).block_storage
    assert list(storage.volumes()) == []
    storage.create_volume(size=1, name=f"volume-{number}")
    assert [own.name for own in storage.volumes()] == [f"volume-{number}"]


def test_an_administrator_may_do_more(volume_snapshots):
    volume = new_volume(connect(volume_snapshots))
    with pytest.raises(openstack.exceptions.ForbiddenException):
        connect(volume_snapshots).block_storage.reset_volume_status(volume, status="error")
    storage = connect(volume_snapshots, admin=True).block_storage
    storage.reset_volume_status(volume, status="error")
    assert storage.get_volume(volume).status == "error"
    assert storage.get_volume(volume).project_id == volume_snapshots.project_id


def test_the_state_can_be_seeded_seen_and_reset(volume_snapshots):
    put = volume_snapshots.seed({"volumes": [{"name": "data"}], "snapshots": [{"name": "nightly"}]})
    assert put == {"snapshots": 1, "volumes": 1}
    storage = connect(volume_snapshots).block_storage
    assert [own.name for own in storage.snapshots()] == ["nightly"]
    state = volume_snapshots.state()
    assert [own["project_id"] for own in state["volumes"]] == [volume_snapshots.project_id]
    volume_snapshots.reset()
    assert list(storage.snapshots()) == []
    assert volume_snapshots.state().get("volumes", []) == []


def test_a_seed_that_is_wrong_is_refused_by_name(volume_snapshots):
    from volume_snapshots import ServerError

    with pytest.raises(ServerError, match="400: .*unknown field `volume`"):
        volume_snapshots.seed({"volume": []})


def test_time_can_be_advanced_in_steps(volume_snapshots):
    volume_snapshots.seed({"volumes": [{"name": "data"}]})
    storage = connect(volume_snapshots).block_storage
    snapshot = storage.create_snapshot(volume_id=next(iter(storage.volumes())).id, name="nightly")
    assert snapshot.status == "creating"
    first = volume_snapshots.advance(1000)
    second = volume_snapshots.tick()
    third = volume_snapshots.advance(1000)
    times = [report["now"][:19] for report in (first, second, third)]
    assert times == sorted(times)
    assert storage.get_snapshot(snapshot).status == "available"


def test_clients_sign_in_with_variables_and_with_a_file(volume_snapshots, monkeypatch, tmp_path):
    for name, value in volume_snapshots.env.items():
        monkeypatch.setenv(name, value)
    connection = openstack.connect(cloud="envvars")
    assert connection.current_project_id == volume_snapshots.project_id
    path = tmp_path / "clouds.yaml"
    path.write_text(volume_snapshots.clouds_yaml())
    config = openstack.config.OpenStackConfig(config_files=[str(path)], load_envvars=False)
    connection = openstack.connection.Connection(config=config.get_one("local-admin"))
    assert connection.current_project_id == volume_snapshots.project_id


SAMPLE = """
import pathlib, pytest

@pytest.mark.parametrize("number", range(6))
def test_sample(volume_snapshots, number, worker_id):
    directory = pathlib.Path("servers")
    directory.mkdir(exist_ok=True)
    with open(directory / worker_id, "a") as file:
        file.write(volume_snapshots.url + "\\n")
"""


def test_each_worker_has_a_server_of_its_own(pytester):
    pytester.makepyfile(SAMPLE)
    pytester.runpytest_subprocess("-n", "2", "-p", "no:cacheprovider").assert_outcomes(passed=6)
    urls = [set(path.read_text().split()) for path in pytester.path.joinpath("servers").iterdir()]
    assert len(urls) == 2
    assert all(len(own) == 1 for own in urls)
    assert not urls[0] & urls[1]


def test_a_server_does_not_outlive_a_killed_session(pytester):
    pytester.makepyfile("""
        import os, pathlib, signal

        def test_sample(volume_snapshots):
            pathlib.Path("url").write_text(volume_snapshots.url)
            os.kill(os.getpid(), signal.SIGKILL)
        """)
    pytester.runpytest_subprocess()
    url = pytester.path.joinpath("url").read_text()
    for _ in range(100):
        try:
            urllib.request.urlopen(url, timeout=10).close()
        except urllib.error.HTTPError:
            pass
        except OSError:
            return
        time.sleep(0.1)
    pytest.fail("the server still answers after ten seconds")


def test_a_failed_start_shows_the_log(pytester):
    pytester.makepyfile("def test_sample(volume_snapshots): pass")
    result = pytester.runpytest_subprocess("--volume-snapshots-set", "max_limit=0")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*did not start; its log ends with:", "*the variable max_limit is wrong: '0' is not*"])
    result = pytester.runpytest_subprocess("--volume-snapshots-set", "max_limit")
    result.stdout.fnmatch_lines(["*--volume-snapshots-set max_limit is not NAME=VALUE*"])


def test_variables_come_from_the_ini_file_and_from_the_command_line(pytester):
    pytester.makeini("[pytest]\nvolume_snapshots_set =\n    quota_snapshots=3\n    max_limit=7\n")
    pytester.makepyfile("""
        import openstack

        def test_sample(volume_snapshots):
            limits = openstack.connect(**volume_snapshots.cloud()).block_storage.get_limits().absolute
            assert limits.max_total_snapshots == 5
        """)
    pytester.runpytest_subprocess("--volume-snapshots-set", "quota_snapshots=5").assert_outcomes(passed=1)


def test_projects_do_not_run_out(pytester):
    """A test that asks for the fixture while it runs is not counted beforehand, and the ninth such test shares a project."""
    pytester.makepyfile("""
        import openstack, pytest

        @pytest.mark.parametrize("number", range(12))
        def test_sample(request, number):
            project = request.getfixturevalue("volume_snapshots")
            storage = openstack.connect(**project.cloud()).block_storage
            assert list(storage.volumes()) == []
            storage.create_volume(size=1)
        """)
    pytester.runpytest_subprocess().assert_outcomes(passed=12)


def test_a_session_without_the_fixture_starts_no_server(pytester, monkeypatch):
    pytester.makepyfile("def test_sample(): pass")
    pytester.makeconftest("""
        from volume_snapshots import pytest_plugin

        def refuse(**options):
            raise AssertionError("a server was started")

        pytest_plugin.Server = refuse
        """)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
