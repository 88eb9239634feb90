"""Checks of all ways to reach an app without Keystone. The other scenarios use one way for each client."""

import requests

import openstack_checks
import sdk_checks
from caller import column
from terminal import Terminal


def doors(section, app, caller):
    """Runs the installed programs, each in its own process, configured only by options."""
    endpoint = f"{app.base}/v3/{caller.project_id}"
    openstack_checks.new_volume(caller, "vol")
    openstack_checks.new_snapshot(caller, "vol", "s")
    ways = {
        "--os-auth-type admin_token": [
            *("--os-auth-type", "admin_token", "--os-token", f"demo:{caller.project_id}", "--os-endpoint", endpoint)
        ],
        "--os-auth-type none": ["--os-auth-type", "none", "--os-endpoint", endpoint],
    }
    for name, options in ways.items():
        listed = Terminal.real("openstack", [*options, "volume", "snapshot", "list", "-f", "json"], {})
        section.equal(f"openstack {name}", column(listed.json(), "Name"), ["s"])
    options = ["--os-auth-type", "noauth", "--os-user-id", "demo", "--os-project-id", caller.project_id]
    listed = Terminal.real("cinder", [*options, "--os-endpoint", f"{app.base}/v3", "snapshot-list"], {})
    section.equal("cinder --os-auth-type noauth", column(listed.rows(), "Name"), ["s"])
    nobody = caller.connect(auth_type="none", auth={"endpoint": endpoint})
    section.equal("openstacksdk without any token", sdk_checks.names(nobody.snapshots()), ["s"])
    snapshot = nobody.create_snapshot(volume_id=nobody.find_volume("vol").id, name="by-nobody")
    section.equal("which creates as the user admin", nobody.get_snapshot(snapshot.id).user_id, "admin")
    section.equal("with a token it is the user of the token", caller.connect().find_snapshot("s").user_id, "demo")


def projects(section, app, caller):
    """Checks that callers keep to their own project by default, although all are administrators."""
    other_id = "b" * 32
    options = {"endpoint": f"{app.base}/v3/{other_id}", "token": f"demo:{other_id}"}
    mine, other = caller.connect(), caller.connect(auth=options)
    sdk_checks.new_snapshot(mine, sdk_checks.new_volume(mine, "vol"), "mine")
    sdk_checks.new_snapshot(other, sdk_checks.new_volume(other, "vol"), "other")
    section.equal("a list has the caller's project", sdk_checks.names(mine.snapshots()), ["mine"])
    section.equal("the other's has the other's", sdk_checks.names(other.snapshots()), ["other"])
    section.equal(
        "all_projects has both", sdk_checks.names(mine.snapshots(all_projects=True, sort="name:asc")), ["mine", "other"]
    )
    section.equal(
        "with a project_id one of them",
        sdk_checks.names(mine.snapshots(all_projects=True, project_id=other_id)),
        ["other"],
    )
    section.equal(
        "openstack --all-projects", sorted(openstack_checks.names(caller, "--all-projects")), ["mine", "other"]
    )
    section.equal("quotas are each project's own", other.get_limits().absolute.total_snapshots_used, 1)


def plain(section, app, caller):
    """Sends the requests in which gophercloud differs from the other clients. gophercloud itself does not run here."""
    base = f"{app.base}/v3/{caller.project_id}"
    headers = {"X-Auth-Token": f"demo:{caller.project_id}"}

    def call(method, path, body=None):
        return requests.request(method, f"{base}{path}", headers=headers, json=body, timeout=60)

    volume = sdk_checks.new_volume(caller.connect(), "vol")
    made = call(
        "POST", "/snapshots", {"snapshot": {"volume_id": volume.id, "name": "n", "description": "Created by CSI"}}
    )
    section.equal(
        "without a version a snapshot has the fields of 3.0",
        (made.status_code, sorted(made.json()["snapshot"])),
        (202, ["created_at", "description", "id", "metadata", "name", "size", "status", "updated_at", "volume_id"]),
    )
    identity = made.json()["snapshot"]["id"]
    found = call("GET", "/snapshots?name=n").json()["snapshots"][0]
    section.matches("its time has no zone", found["created_at"], openstack_checks.TIME)
    section.equal(
        "the short list has what the CSI plugin reads",
        (found["id"], found["volume_id"], found["size"], found["status"] in ("creating", "available")),
        (identity, volume.id, 1, True),
    )
    section.equal("a bare question mark is nothing", call("GET", f"/snapshots/{identity}?").status_code, 200)
    section.equal("the CSI plugin asks for a backup first", call("GET", f"/backups/{identity}").status_code, 404)
    caller.connect().wait_for_status(caller.connect().get_snapshot(identity), interval=0.2, wait=30)
    other = call("POST", "/snapshots", {"snapshot": {"volume_id": volume.id, "name": "m"}}).json()["snapshot"]["id"]
    page = call("GET", "/snapshots/detail?limit=1").json()
    link = page["snapshots_links"][0]
    section.equal(
        "a page ends with a link to the next", (link["rel"], f"marker={other}" in link["href"]), ("next", True)
    )
    following = requests.get(link["href"], headers=headers, timeout=60).json()
    section.equal("which is as good as any URL", [each["id"] for each in following["snapshots"]], [identity])
    section.equal(
        "metadata is replaced with a 200",
        (lambda done: (done.status_code, done.json()))(
            call("PUT", f"/snapshots/{identity}/metadata", {"metadata": {"k": "v"}})
        ),
        (200, {"metadata": {"k": "v"}}),
    )
    reset = call("POST", f"/snapshots/{identity}/action", {"os-reset_status": {"status": "error"}})
    section.equal("an action is a 202", reset.status_code, 202)
    section.equal("a delete is a 202", call("DELETE", f"/snapshots/{identity}").status_code, 202)


SCENARIOS = [doors, projects, plain]
