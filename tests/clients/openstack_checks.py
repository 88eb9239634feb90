"""Checks of the app with openstackclient. The caller in every scenario is an administrator."""

from caller import column, eventually, pick

UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}"


def new_volume(caller, name, size="1"):
    """Creates a volume with openstackclient, waits until it is available, and returns its id."""
    identity = caller.shown("volume", "create", "--size", size, name)["id"]
    status = eventually(lambda: caller.shown("volume", "show", identity)["status"], "available")
    if status != "available":
        raise RuntimeError(f"the volume {name} is {status}")
    return identity


def new_snapshot(caller, volume, name, *options):
    """Creates a snapshot with openstackclient, waits until it is available, and returns its id."""
    identity = caller.shown("volume", "snapshot", "create", "--volume", volume, *options, name)["id"]
    status = eventually(lambda: status_of(caller, identity), "available")
    if status != "available":
        raise RuntimeError(f"the snapshot {name} is {status}")
    return identity


def status_of(caller, snapshot):
    return caller.shown("volume", "snapshot", "show", snapshot)["status"]


def names(caller, *options, **variables):
    return column(caller.shown("volume", "snapshot", "list", *options, **variables), "Name")


def life(section, app, caller):
    volume = caller.shown("volume", "create", "--size", "2", "--description", "disk", "vol")
    section.equal(
        "volume create shows what was asked for",
        pick(volume, "name", "description", "size", "status"),
        {"name": "vol", "description": "disk", "size": 2, "status": "creating"},
    )
    section.equal(
        "a new volume becomes available",
        eventually(lambda: caller.shown("volume", "show", "vol")["status"], "available"),
        "available",
    )
    section.equal(
        "volume list has it",
        [pick(row, "ID", "Name", "Status", "Size") for row in caller.shown("volume", "list")],
        [{"ID": volume["id"], "Name": "vol", "Status": "available", "Size": 2}],
    )
    create = ["volume", "snapshot", "create", "--volume", "vol", "--description", "before", "--property", "a=1"]
    one = caller.shown(*create, "--property", "b=2", "one")
    section.equal(
        "snapshot create shows what was asked for, and the volume found by its name",
        {name: value for name, value in one.items() if name not in ("id", "created_at")},
        {
            "name": "one",
            "description": "before",
            "size": 2,
            "status": "creating",
            "volume_id": volume["id"],
            "properties": {"a": "1", "b": "2"},
        },
    )
    section.matches("a snapshot's id is a UUID", one["id"], UUID)
    section.matches("a snapshot's time has microseconds and no zone", one["created_at"], TIME)
    section.equal(
        "a new snapshot becomes available", eventually(lambda: status_of(caller, "one"), "available"), "available"
    )
    by_name = caller.shown("volume", "snapshot", "show", "one")
    section.equal("snapshot show by name differs from create in the status", by_name, one | {"status": "available"})
    section.equal("snapshot show by id is the same", caller.shown("volume", "snapshot", "show", one["id"]), by_name)
    two = caller.shown("volume", "snapshot", "create", "--volume", volume["id"], "two")
    section.equal(
        "snapshot create with nothing but a volume's id",
        pick(two, "name", "description", "properties", "volume_id"),
        {"name": "two", "description": None, "properties": {}, "volume_id": volume["id"]},
    )
    eventually(lambda: status_of(caller, "two"), "available")
    section.equal(
        "snapshot list, the newest first",
        caller.shown("volume", "snapshot", "list"),
        [
            {"ID": two["id"], "Name": "two", "Description": None, "Status": "available", "Size": 2},
            {"ID": one["id"], "Name": "one", "Description": "before", "Status": "available", "Size": 2},
        ],
    )
    section.equal(
        "snapshot list --long",
        caller.shown("volume", "snapshot", "list", "--long")[1],
        {
            "ID": one["id"],
            "Name": "one",
            "Description": "before",
            "Status": "available",
            "Size": 2,
            "Created At": one["created_at"],
            "Volume": volume["id"],
            "Properties": {"a": "1", "b": "2"},
        },
    )
    # Only in tables does openstackclient show the names of volumes instead of their ids.
    section.equal(
        "snapshot list --long as a table names the volume",
        column(caller.openstack("volume", "snapshot", "list", "--long").rows(), "Volume"),
        ["vol", "vol"],
    )

    refused = caller.openstack("volume", "delete", "vol")
    section.equal("volume delete fails while there are snapshots", refused.code, 1)
    section.matches(
        "and says why",
        refused.errors,
        "Failed to delete volume with name or ID 'vol': BadRequestException: 400: Client Error for url: .*, "
        "Invalid volume: Volume status must be .* have snapshots, .* 1 of 1 volumes failed to delete.",
    )
    section.equal(
        "snapshot delete by name prints nothing",
        vars(caller.openstack("volume", "snapshot", "delete", "one")),
        {"code": 0, "output": "", "errors": ""},
    )
    section.equal("a deleted snapshot leaves the list", eventually(lambda: names(caller), ["two"]), ["two"])
    mixed = caller.openstack("volume", "snapshot", "delete", "nothing", two["id"])
    section.equal("snapshot delete of an unknown and a known one fails", mixed.code, 1)
    section.matches(
        "and names the unknown one",
        mixed.errors,
        "Failed to delete snapshot with name or ID 'nothing': .*nothing.* 1 of 2 snapshots failed to delete.",
    )
    section.equal("but the known one goes", eventually(lambda: names(caller), []), [])
    section.equal("volume delete works then", caller.openstack("volume", "delete", "vol").code, 0)
    section.equal("a deleted volume leaves the list", eventually(lambda: caller.shown("volume", "list"), []), [])


def changes(section, app, caller):
    new_volume(caller, "vol")
    identity = new_snapshot(caller, "vol", "s", "--property", "a=1", "--property", "b=2")

    def shown():
        return pick(caller.shown("volume", "snapshot", "show", identity), "name", "description", "properties")

    def change(*options):
        done = caller.openstack("volume", "snapshot", *options)
        return (done.code, done.errors)

    section.equal(
        "snapshot set of name, description and a property works",
        change("set", "--name", "renamed", "--description", "new text", "--property", "c=3", "s"),
        (0, ""),
    )
    section.equal(
        "and merges the property",
        shown(),
        {"name": "renamed", "description": "new text", "properties": {"a": "1", "b": "2", "c": "3"}},
    )
    section.equal(
        "snapshot set of a property that is there works", change("set", "--property", "a=9", "renamed"), (0, "")
    )
    section.equal("and replaces its value", shown()["properties"], {"a": "9", "b": "2", "c": "3"})
    section.equal(
        "snapshot unset of two properties works",
        change("unset", "--property", "a", "--property", "c", "renamed"),
        (0, ""),
    )
    section.equal("and leaves the others", shown()["properties"], {"b": "2"})
    code, errors = change("unset", "--property", "missing", "renamed")
    section.equal("snapshot unset of a property that is not there fails", code, 1)
    section.matches(
        "and says so", errors, f"NotFoundException: 404: .*, Snapshot {identity} has no metadata with key missing."
    )
    section.equal(
        "snapshot set --no-property with --property works",
        change("set", "--no-property", "--property", "only=this", identity),
        (0, ""),
    )
    section.equal("and replaces all of them", shown()["properties"], {"only": "this"})
    section.equal("snapshot set --no-property works", change("set", "--no-property", identity), (0, ""))
    section.equal("and removes all of them", shown()["properties"], {})
    section.equal(
        "a property's value may have an equals sign, and more than ASCII, in it",
        (change("set", "--property", "key=größe=5", identity), shown()["properties"]),
        ((0, ""), {"key": "größe=5"}),
    )

    code, errors = change("set", "--property", "clé=1", identity)
    section.equal("but its name may not", code, 1)
    section.matches(
        "and the reason is shown",
        errors,
        "Failed to set snapshot property: BadRequestException: 400: .*, Invalid input for field/attribute metadata. .* "
        "One or more of the set operations failed",
    )

    section.equal("snapshot set --state works", change("set", "--state", "error", identity), (0, ""))
    section.equal("and sets the status", status_of(caller, identity), "error")
    section.equal("snapshot list --status finds it", names(caller, "--status", "error"), ["renamed"])
    section.equal("a snapshot in error can be deleted", change("delete", identity), (0, ""))
    section.equal("and goes", eventually(lambda: names(caller), []), [])

    stuck = new_snapshot(caller, "vol", "stuck")
    change("set", "--state", "creating", stuck)
    code, errors = change("delete", "stuck")
    section.equal("a snapshot in creating cannot be deleted", code, 1)
    section.matches(
        "and the reason is shown",
        errors,
        "Failed to delete snapshot with name or ID 'stuck': BadRequestException: 400: .*, Invalid snapshot: "
        "Snapshot status must be available or error and must not be part of a group. 1 of 1 snapshots failed to delete.",
    )
    section.equal("snapshot delete --force works on it", change("delete", "--force", "stuck"), (0, ""))
    section.equal("and it goes", eventually(lambda: names(caller), []), [])


def finding(section, app, caller):
    new_volume(caller, "left")
    right = new_volume(caller, "right")
    one = new_snapshot(caller, "left", "one")
    new_snapshot(caller, right, "two")
    twin = new_snapshot(caller, "left", "twin")
    other_twin = new_snapshot(caller, "right", "twin")
    caller.openstack("volume", "snapshot", "set", "--state", "error", one)

    section.equal("snapshot list --name", names(caller, "--name", "two"), ["two"])
    section.equal("snapshot list --name of none", names(caller, "--name", "nothing"), [])
    section.equal("snapshot list --status", names(caller, "--status", "error"), ["one"])
    section.equal("snapshot list --status of none", names(caller, "--status", "deleting"), [])
    section.equal("snapshot list --volume by name", names(caller, "--volume", "left"), ["twin", "one"])
    section.equal("snapshot list --volume by id", names(caller, "--volume", right), ["twin", "two"])
    section.equal(
        "filters together", names(caller, "--volume", "right", "--name", "twin", "--status", "available"), ["twin"]
    )
    unknown = caller.openstack("volume", "snapshot", "list", "--volume", "nothing")
    section.equal("snapshot list --volume of an unknown name fails", unknown.code, 1)
    section.matches("and says so", unknown.errors, "No Volume found for nothing")
    ambiguous = caller.openstack("volume", "snapshot", "show", "twin")
    section.equal("snapshot show of a name that two have fails", ambiguous.code, 1)
    section.matches("and says so", ambiguous.errors, "More than one Snapshot exists with the name 'twin'.")
    section.equal(
        "by their ids both are found",
        [caller.shown("volume", "snapshot", "show", each)["id"] for each in (twin, other_twin)],
        [twin, other_twin],
    )
    unknown = caller.openstack("volume", "snapshot", "show", "nothing")
    section.equal("snapshot show of an unknown name fails", unknown.code, 1)
    section.matches("and says so", unknown.errors, "No Snapshot found for nothing")
    unknown = caller.openstack("volume", "snapshot", "show", "11111111-2222-3333-4444-555555555555")
    section.matches(
        "of an unknown id too", unknown.errors, "No Snapshot found for 11111111-2222-3333-4444-555555555555"
    )
    unknown = caller.openstack("volume", "snapshot", "create", "--volume", "nothing", "s")
    section.matches("snapshot create of an unknown volume says so", unknown.errors, "No Volume found for nothing")

    everything = ["twin", "twin", "two", "one"]
    section.equal("snapshot list --limit 1 goes through all pages", names(caller, "--limit", "1"), everything)
    section.equal("snapshot list --limit 3 too", names(caller, "--limit", "3"), everything)
    section.equal("snapshot list --max-items 2 stops", names(caller, "--max-items", "2"), everything[:2])
    section.equal("snapshot list --marker goes on after it", names(caller, "--marker", twin), everything[2:])
    section.equal("--marker with --limit too", names(caller, "--marker", twin, "--limit", "1"), everything[2:])
    unknown = caller.openstack("volume", "snapshot", "list", "--marker", "11111111-2222-3333-4444-555555555555")
    section.equal("snapshot list after an unknown marker fails", unknown.code, 1)
    section.matches(
        "and says so",
        unknown.errors,
        "NotFoundException: 404: .*, Snapshot 11111111-2222-3333-4444-555555555555 could not be found.",
    )
    section.equal(
        "snapshot list --all-projects has them too", sorted(names(caller, "--all-projects")), sorted(everything)
    )
    for version in ("3.0", "3.65", "3.66", "3.71"):
        section.equal(
            f"snapshot list --long at {version}",
            column(
                caller.openstack("volume", "snapshot", "list", "--long", OS_VOLUME_API_VERSION=version).rows(), "Volume"
            ),
            ["right", "left", "right", "left"],
        )


def adoption(section, app, caller):
    volume = new_volume(caller, "vol")
    adopted = caller.shown(
        *("volume", "snapshot", "create", "--volume", "vol", "--remote-source", "source-name=snap-on-disk"),
        *("--property", "kept=yes", "--description", "taken over", "adopted"),
    )
    section.equal(
        "snapshot create --remote-source shows what was asked for",
        pick(adopted, "name", "description", "status", "size", "volume_id", "properties"),
        {
            "name": "adopted",
            "description": "taken over",
            "status": "creating",
            "size": 1,
            "volume_id": volume,
            "properties": {"kept": "yes"},
        },
    )
    section.equal("it becomes available", eventually(lambda: status_of(caller, "adopted"), "available"), "available")
    section.equal(
        "snapshot delete --remote lets go of it",
        caller.openstack("volume", "snapshot", "delete", "--remote", "adopted").code,
        0,
    )
    section.equal("and it leaves the list", eventually(lambda: names(caller), []), [])
    host = caller.shown("volume", "show", "vol")["os-vol-host-attr:host"]
    section.equal(
        "what could be adopted can be listed, and is nothing",
        caller.shown("block", "storage", "snapshot", "manageable", "list", host, OS_VOLUME_API_VERSION="3.8"),
        [],
    )
    unknown = caller.openstack(
        "block", "storage", "snapshot", "manageable", "list", "nowhere", OS_VOLUME_API_VERSION="3.8"
    )
    section.matches(
        "of an unknown host it fails with Cinder's words",
        unknown.errors,
        ".*404.*Service cinder-volume could not be found on host nowhere.*",
    )


def volumes(section, app, caller):
    volume = new_volume(caller, "vol", "2")
    snapshot = new_snapshot(caller, "vol", "s")
    restored = caller.shown("volume", "create", "--snapshot", "s", "--size", "3", "larger")
    section.equal(
        "volume create --snapshot shows where it is from",
        pick(restored, "name", "size", "snapshot_id"),
        {"name": "larger", "size": 3, "snapshot_id": snapshot},
    )
    section.equal(
        "without a size it has the snapshot's",
        caller.shown("volume", "create", "--snapshot", snapshot, "equal")["size"],
        2,
    )
    caller.openstack("volume", "snapshot", "set", "--state", "error", "s")
    early = caller.openstack("volume", "create", "--snapshot", "s", "none")
    section.matches(
        "volume create of a snapshot in error fails",
        early.errors,
        "BadRequestException: 400: .*, Invalid snapshot: Originating snapshot status must be one of 'available' values",
    )
    caller.openstack("volume", "snapshot", "set", "--state", "available", "s")

    unattached = caller.openstack("volume", "set", "--state", "in-use", "vol")
    section.equal("volume set --state in-use fails without an attachment", unattached.code, 1)
    section.matches(
        "and says so",
        unattached.errors,
        "Failed to set volume state: BadRequestException: 400: .*, Cannot reset-state to in-use because volume does not have "
        "any attachments. One or more of the set operations failed",
    )
    done = caller.openstack("volume", "set", "--state", "error", "vol")
    section.equal("volume set --state error works", (done.code, done.errors), (0, ""))
    section.equal("and sets the status", caller.shown("volume", "show", volume)["status"], "error")

    app.set_volume_status(volume, "in-use")
    attached = caller.openstack("volume", "snapshot", "create", "--volume", "vol", "hot")
    # openstackclient omits `force` because the server supports 3.66, but openstacksdk then sends 3.65. Cinder refuses
    # this too.
    section.matches(
        "snapshot create of a volume in use fails at the client's own version",
        attached.errors,
        f"BadRequestException: 400: .*, Invalid volume: Volume {volume} status must be available, but current status is: in-use.",
    )
    forced = caller.openstack("volume", "snapshot", "create", "--volume", "vol", "--force", "hot")
    section.matches(
        "with --force too, as the client does not send it",
        forced.errors,
        f"BadRequestException: 400: .*, Invalid volume: Volume {volume} status must be available, but current status is: in-use.",
    )
    hot = caller.shown("volume", "snapshot", "create", "--volume", "vol", "hot", OS_VOLUME_API_VERSION="3.66")
    section.equal("at 3.66 it works", pick(hot, "name", "volume_id"), {"name": "hot", "volume_id": volume})
    forced = caller.shown(
        "volume", "snapshot", "create", "--volume", "vol", "--force", "old", OS_VOLUME_API_VERSION="3.50"
    )
    section.equal("at 3.50 --force works", pick(forced, "name", "volume_id"), {"name": "old", "volume_id": volume})
    app.set_volume_status(volume, "available")

    for name in ("hot", "old"):
        eventually(lambda name=name: status_of(caller, name), "available")
    latest = caller.openstack("volume", "revert", "s")
    section.matches(
        "volume revert to a snapshot that is not the latest fails",
        latest.errors,
        f"BadRequestException: 400: .*, Specified snapshot {snapshot} is None or not the latest one of volume {volume}.",
    )
    revert = caller.openstack("volume", "revert", "old")
    section.equal("volume revert to the latest works", (revert.code, revert.errors), (0, ""))
    section.equal(
        "and the volume is available again",
        eventually(lambda: caller.shown("volume", "show", volume)["status"], "available"),
        "available",
    )
    for name in ("hot", "old"):
        eventually(lambda name=name: status_of(caller, name), "available")
    purge = caller.openstack("volume", "delete", "--purge", "vol")
    section.equal("volume delete --purge works with snapshots", (purge.code, purge.errors), (0, ""))
    section.equal("and its snapshots go", eventually(lambda: names(caller), []), [])
    section.equal(
        "and only it",
        eventually(lambda: sorted(column(caller.shown("volume", "list"), "Name")), ["equal", "larger"]),
        ["equal", "larger"],
    )
    section.equal("volume backup list is empty", caller.shown("volume", "backup", "list"), [])
    backup = caller.openstack("volume", "backup", "show", "11111111-2222-3333-4444-555555555555")
    section.equal("volume backup show fails, since there are none", backup.code, 1)
    section.matches("and says so", backup.errors, "No Backup found for 11111111-2222-3333-4444-555555555555")


def volume_changes(section, app, caller):
    volume = new_volume(caller, "vol")

    def change(*arguments):
        done = caller.openstack("volume", *arguments)
        return (done.code, done.errors)

    def shown():
        return pick(caller.shown("volume", "show", volume), "name", "description", "properties")

    section.equal(
        "volume set works",
        change("set", "--name", "disk", "--description", "text", "--property", "a=1", "--property", "b=2", "vol"),
        (0, ""),
    )
    section.equal(
        "and changes all", shown(), {"name": "disk", "description": "text", "properties": {"a": "1", "b": "2"}}
    )
    section.equal("volume set of another property works", change("set", "--property", "c=3", "disk"), (0, ""))
    section.equal("and merges", shown()["properties"], {"a": "1", "b": "2", "c": "3"})
    section.equal("volume unset works", change("unset", "--property", "a", "--property", "b", "disk"), (0, ""))
    section.equal("and leaves the others", shown()["properties"], {"c": "3"})
    section.equal(
        "volume set --no-property with --property works",
        change("set", "--no-property", "--property", "only=this", "disk"),
        (0, ""),
    )
    section.equal("and replaces all of them", shown()["properties"], {"only": "this"})
    other = caller.shown("volume", "create", "--size", "1", "--property", "only=this", "other")
    section.equal("volume create --property", other["properties"], {"only": "this"})
    found = caller.shown("volume", "list", "--property", "only=this")
    section.equal("volume list --property", sorted(column(found, "Name")), ["disk", "other"])
    section.equal("volume list --name", column(caller.shown("volume", "list", "--name", "disk"), "ID"), [volume])
    section.equal(
        "volume list --long has them",
        column(caller.shown("volume", "list", "--long"), "Properties"),
        [{"only": "this"}] * 2,
    )
    section.equal(
        "volume list --limit 1", column(caller.shown("volume", "list", "--limit", "1"), "Name"), ["other", "disk"]
    )


def backups(section, app, caller):
    volume = new_volume(caller, "disk", "2")
    snapshot = new_snapshot(caller, "disk", "s")
    create = ["volume", "backup", "create", "--snapshot", "s"]
    full = caller.shown(*create, "--name", "full", "--description", "d", "--container", "box", "disk")
    section.equal("backup create --snapshot", pick(full, "name", "volume_id"), {"name": "full", "volume_id": volume})

    def backup(name):
        return caller.shown("volume", "backup", "show", name)

    section.equal("the backup becomes available", eventually(lambda: backup("full")["status"], "available"), "available")
    section.equal("and so does its snapshot", status_of(caller, "s"), "available")
    section.equal(
        "backup show",
        pick(backup("full"), "description", "container", "size", "snapshot_id", "is_incremental", "has_dependent_backups"),
        {
            "description": "d",
            "container": "box",
            "size": 2,
            "snapshot_id": snapshot,
            "is_incremental": False,
            "has_dependent_backups": False,
        },
    )
    caller.shown(*create, "--incremental", "--name", "incremental", "--property", "tier=gold", "disk")
    eventually(lambda: backup("incremental")["status"], "available")
    section.equal(
        "backup list --long",
        [pick(row, "Name", "Status", "Incremental") for row in caller.shown("volume", "backup", "list", "--long")],
        [
            {"Name": "incremental", "Status": "available", "Incremental": True},
            {"Name": "full", "Status": "available", "Incremental": False},
        ],
    )
    section.equal("backup create --property", backup("incremental")["metadata"], {"tier": "gold"})
    section.equal("the full one has a dependent", backup("full")["has_dependent_backups"], True)
    section.matches(
        "so it cannot be deleted",
        caller.openstack("volume", "backup", "delete", "full").errors,
        ".*, Invalid backup: Incremental backups exist for this backup. 1 of 1 backups failed to delete.",
    )

    restored = caller.shown("volume", "backup", "restore", "incremental", "copy")
    section.equal(
        "backup restore to a new volume",
        pick(restored, "id", "volume_name"),
        {"id": backup("incremental")["id"], "volume_name": "copy"},
    )
    status = eventually(lambda: caller.shown("volume", "show", "copy")["status"], "available")
    section.equal("the new volume becomes available", status, "available")
    section.equal("and has the size of the backup", caller.shown("volume", "show", "copy")["size"], 2)
    section.equal(
        "backup restore --force to a volume that there is",
        caller.shown("volume", "backup", "restore", "--force", "incremental", "copy")["volume_id"],
        restored["volume_id"],
    )
    status = eventually(lambda: caller.shown("volume", "show", "copy")["status"], "available")
    section.equal("it becomes available again", status, "available")
    eventually(lambda: backup("incremental")["status"], "available")
    made = caller.shown("volume", "create", "--backup", "incremental", "from-backup")
    section.equal("volume create --backup", made["backup_id"], backup("incremental")["id"])
    eventually(lambda: caller.shown("volume", "show", "from-backup")["status"], "available")
    eventually(lambda: backup("incremental")["status"], "available")

    exported = caller.shown("volume", "backup", "record", "export", "incremental")
    section.equal("backup record export", sorted(exported), ["backup_service", "backup_url"])
    renamed = caller.openstack("volume", "backup", "set", "--name", "renamed", "--description", "new", "incremental")
    section.equal("backup set", (renamed.code, renamed.errors), (0, ""))
    section.equal("changes it", pick(backup("renamed"), "name", "description"), {"name": "renamed", "description": "new"})
    deleted = caller.openstack("volume", "backup", "delete", "renamed")
    section.equal("backup delete", (deleted.code, deleted.errors), (0, ""))
    left = eventually(lambda: column(caller.shown("volume", "backup", "list"), "Name"), ["full"])
    section.equal("removes it", left, ["full"])
    # openstackclient sends a record to the path of the export, which is a 404 in Cinder too.
    # Until a tick has finished the removal of that backup, the answer is a 503.
    record = (exported["backup_service"], exported["backup_url"])
    code = eventually(lambda: caller.cinder("backup-import", *record).code, 0)
    section.equal("cinder backup-import of that record", code, 0)
    rows = eventually(
        lambda: [pick(row, "Name", "Status", "Incremental") for row in caller.shown("volume", "backup", "list", "--long")],
        [
            {"Name": "incremental", "Status": "available", "Incremental": True},
            {"Name": "full", "Status": "available", "Incremental": False},
        ],
    )
    section.equal("brings it back", column(rows, "Name"), ["incremental", "full"])
    for name in ("incremental", "full"):
        caller.openstack("volume", "backup", "delete", name)
        eventually(lambda: name in column(caller.shown("volume", "backup", "list"), "Name"), False)
    section.equal("after which both can be deleted", caller.shown("volume", "backup", "list"), [])


def groups(section, app, caller):
    version = {"OS_VOLUME_API_VERSION": "3.71"}

    def shown(*arguments):
        return caller.shown("volume", *arguments, **version)

    def done(*arguments):
        command = caller.openstack("volume", *arguments, **version)
        return command.code, command.errors

    made = shown("group", "type", "create", "--description", "d", "gold")
    section.equal("group type create", pick(made, "Name", "Description"), {"Name": "gold", "Description": "d"})
    section.equal(
        "group type list", column(shown("group", "type", "list"), "Name"), ["gold", "default_cgsnapshot_type"]
    )
    create = ["group", "create", "--volume-group-type", "gold", "--volume-type", "__DEFAULT__"]
    group = shown(*create, "--description", "d", "--name", "g")
    section.equal("group create", pick(group, "Name", "Status"), {"Name": "g", "Status": "creating"})
    status = eventually(lambda: shown("group", "show", "g")["Status"], "available")
    section.equal("the group becomes available", status, "available")
    members = [new_volume(caller, name) for name in ("one", "two")]
    section.equal("group add volume", done("group", "add", "volume", "g", "one", "two"), (0, ""))
    status = eventually(lambda: shown("group", "show", "g")["Status"], "available")
    section.equal("the group is available again", status, "available")
    groups_of = [caller.shown("volume", "show", name, **version)["group_id"] for name in ("one", "two")]
    section.equal("both volumes name it", groups_of, [group["ID"]] * 2)
    section.matches(
        "a member cannot be deleted alone",
        caller.openstack("volume", "delete", "one").errors,
        ".*Invalid volume: Volume status must be .*belong to a group.*",
    )

    taken = shown("group", "snapshot", "create", "--name", "gs", "g")
    section.equal("group snapshot create", pick(taken, "Name", "Group"), {"Name": "gs", "Group": group["ID"]})
    status = eventually(lambda: shown("group", "snapshot", "show", "gs")["Status"], "available")
    section.equal("the group snapshot becomes available", status, "available")
    section.equal("group snapshot list", column(shown("group", "snapshot", "list"), "Name"), ["gs"])
    snapshots = caller.shown("volume", "snapshot", "list", "--long")
    section.equal("it has a snapshot of each volume", sorted(column(snapshots, "Volume")), sorted(members))
    section.equal("they are available with it", column(snapshots, "Status"), ["available"] * 2)
    section.matches(
        "a snapshot of a group cannot be deleted alone",
        caller.openstack("volume", "snapshot", "delete", snapshots[0]["ID"]).errors,
        ".*Invalid snapshot: .*group.*",
    )

    # openstackclient also sends a source group that is null, which Cinder refuses too.
    copied = caller.cinder("group-create-from-src", "--group-snapshot", taken["ID"], "--name", "copy")
    section.equal("cinder group-create-from-src", (copied.code, copied.errors), (0, ""))
    status = eventually(lambda: shown("group", "show", "copy")["Status"], "available")
    section.equal("the copy becomes available", status, "available")
    section.equal("and names the group snapshot", shown("group", "show", "copy")["Group Snapshot ID"], taken["ID"])
    section.equal("it has as many volumes", len(caller.shown("volume", "list")), 4)
    section.equal("group snapshot delete", done("group", "snapshot", "delete", "gs"), (0, ""))
    eventually(lambda: shown("group", "snapshot", "list"), [])
    section.equal("takes its snapshots with it", caller.shown("volume", "snapshot", "list"), [])
    section.equal("group delete --force", done("group", "delete", "--force", "g"), (0, ""))
    section.equal("and of the copy", done("group", "delete", "--force", "copy"), (0, ""))
    left = eventually(lambda: (shown("group", "list"), caller.shown("volume", "list")), ([], []))
    section.equal("takes the volumes with it", left, ([], []))
    section.equal("group type delete", done("group", "type", "delete", "gold"), (0, ""))


SCENARIOS = [life, changes, finding, adoption, volumes, volume_changes, backups, groups]
