"""Checks of the app with openstacksdk. The caller in every scenario is an administrator."""

import time

from openstack import exceptions

from caller import eventually

NOWHERE = "11111111-2222-3333-4444-555555555555"


def new_volume(storage, name, size=1):
    volume = storage.create_volume(name=name, size=size)
    return storage.wait_for_status(volume, status="available", failures=["error"], interval=0.2, wait=30)


def new_snapshot(storage, volume, name, **attributes):
    snapshot = storage.create_snapshot(volume_id=volume.id, name=name, **attributes)
    return storage.wait_for_status(snapshot, status="available", failures=["error"], interval=0.2, wait=30)


def gone(storage, *snapshots):
    for snapshot in snapshots:
        storage.wait_for_delete(snapshot, interval=0.2, wait=30)


def refusal(function, *arguments, **options):
    """Returns the class of the exception that a call raises, its status, and the message of the server."""
    try:
        function(*arguments, **options)
    except exceptions.HttpException as error:
        return type(error).__name__, error.status_code, error.details or str(error)
    except Exception as error:
        return type(error).__name__, None, str(error)
    return "nothing was raised"


def names(snapshots):
    return [snapshot.name for snapshot in snapshots]


def life(section, app, caller):
    storage = caller.connect()
    endpoint = storage.get_endpoint_data()
    section.equal(
        "discovery finds 3.0 to 3.71", (endpoint.min_microversion, endpoint.max_microversion), ((3, 0), (3, 71))
    )
    volume = storage.create_volume(name="vol", size=2, description="disk")
    section.equal(
        "create_volume", (volume.name, volume.size, volume.description, volume.status), ("vol", 2, "disk", "creating")
    )
    waited = storage.wait_for_status(volume, status="available", failures=["error"], interval=0.2, wait=30)
    section.equal("wait_for_status of a volume", waited.status, "available")
    snapshot = storage.create_snapshot(volume_id=volume.id, name="one", description="d", metadata={"a": "1"})
    section.equal(
        "create_snapshot",
        {name: getattr(snapshot, name) for name in ("name", "description", "size", "status", "volume_id", "metadata")},
        {
            "name": "one",
            "description": "d",
            "size": 2,
            "status": "creating",
            "volume_id": volume.id,
            "metadata": {"a": "1"},
        },
    )
    started = time.monotonic()
    waited = storage.wait_for_status(snapshot, status="available", failures=["error"], interval=0.2, wait=30)
    section.equal("wait_for_status of a snapshot", waited.status, "available")
    section.equal("does not wait for long", time.monotonic() - started < 20, True)
    found = storage.get_snapshot(snapshot.id)
    section.equal(
        "get_snapshot has what 3.65 has",
        {name: getattr(found, name) for name in ("progress", "project_id", "consumes_quota", "group_snapshot_id")},
        {"progress": "100%", "project_id": caller.project_id, "consumes_quota": True, "group_snapshot_id": None},
    )
    section.equal("and the time it was made at", found.created_at, snapshot.created_at)
    section.equal("find_snapshot by name", storage.find_snapshot("one").id, snapshot.id)
    section.equal("find_snapshot by id", storage.find_snapshot(snapshot.id).name, "one")
    section.equal("find_snapshot of none", storage.find_snapshot("nothing"), None)
    section.equal(
        "find_snapshot of none that has to be there",
        refusal(storage.find_snapshot, "nothing", ignore_missing=False),
        ("NotFoundException", None, "No Snapshot found for nothing"),
    )
    section.equal(
        "get_snapshot of none",
        refusal(storage.get_snapshot, NOWHERE),
        ("NotFoundException", 404, f"Snapshot {NOWHERE} could not be found."),
    )
    updated = storage.update_snapshot(snapshot, name="two", description="e")
    section.equal("update_snapshot", (updated.name, updated.description), ("two", "e"))
    found = storage.get_snapshot(snapshot.id)
    section.equal(
        "and what it changed stays", (found.name, found.description, found.metadata), ("two", "e", {"a": "1"})
    )
    section.equal(
        "delete_volume with a snapshot",
        refusal(storage.delete_volume, volume)[:2],
        ("BadRequestException", 400),
    )
    storage.delete_snapshot(snapshot)
    gone(storage, snapshot)
    section.equal("wait_for_delete comes back when it is gone", list(storage.snapshots()), [])
    section.equal("delete_snapshot again is nothing", storage.delete_snapshot(snapshot.id), None)
    section.equal(
        "unless it has to be there",
        refusal(storage.delete_snapshot, snapshot.id, ignore_missing=False),
        ("NotFoundException", 404, f"Snapshot {snapshot.id} could not be found."),
    )
    storage.delete_volume(volume)
    section.equal("a deleted volume goes", eventually(lambda: list(storage.volumes()), []), [])


def properties(section, app, caller):
    storage = caller.connect()
    volume = new_volume(storage, "vol")
    snapshot = new_snapshot(storage, volume, "s", metadata={"a": "1", "b": "2"})

    def metadata():
        return storage.fetch_snapshot_metadata(snapshot.id).metadata

    section.equal("fetch_snapshot_metadata", metadata(), {"a": "1", "b": "2"})
    storage.set_snapshot_metadata(snapshot, b="20", c="3")
    section.equal("set_snapshot_metadata merges", metadata(), {"a": "1", "b": "20", "c": "3"})
    storage.delete_snapshot_metadata(snapshot.id, keys=["a", "c"])
    section.equal("delete_snapshot_metadata of some", metadata(), {"b": "20"})
    section.equal(
        "delete_snapshot_metadata of none that is there",
        refusal(storage.delete_snapshot_metadata, snapshot.id, keys=["zzz"]),
        ("NotFoundException", 404, f"Snapshot {snapshot.id} has no metadata with key zzz."),
    )
    storage.delete_snapshot_metadata(snapshot.id)
    section.equal("delete_snapshot_metadata of all", metadata(), {})
    section.equal(
        "a value that is no text",
        refusal(storage.set_snapshot_metadata, snapshot.id, number=5)[:2],
        ("BadRequestException", 400),
    )
    storage.set_volume_metadata(volume, x="1", y="2")
    section.equal("set_volume_metadata", storage.get_volume(volume.id).metadata, {"x": "1", "y": "2"})
    storage.delete_volume_metadata(volume, keys=["x"])
    section.equal("delete_volume_metadata", storage.get_volume_metadata(volume.id).metadata, {"y": "2"})
    section.equal("backups", list(storage.backups()), [])


def pages(section, app, caller):
    storage = caller.connect()
    left, right = new_volume(storage, "left"), new_volume(storage, "right")
    made = [
        storage.create_snapshot(volume_id=volume.id, name=f"s{number}")
        for number, volume in enumerate([left, right] * 4)
    ]
    for snapshot in made:
        storage.wait_for_status(snapshot, interval=0.2, wait=30)
    newest_first = [f"s{number}" for number in reversed(range(8))]

    section.equal("snapshots() follows the pages of the server", names(storage.snapshots()), newest_first)
    for limit in (1, 2, 5, 8, 100):
        section.equal(f"snapshots(limit={limit}) gives all", names(storage.snapshots(limit=limit)), newest_first)
    section.equal("without details too", names(storage.snapshots(details=False, limit=2)), newest_first)
    section.equal("paginated=False gives one page", names(storage.snapshots(limit=2, paginated=False)), ["s7", "s6"])
    section.equal("marker", names(storage.snapshots(marker=made[2].id)), ["s1", "s0"])
    section.equal("offset", names(storage.snapshots(offset=6, limit=2, paginated=False)), ["s1", "s0"])
    section.equal("sort", names(storage.snapshots(sort="name:asc", limit=3)), newest_first[::-1])
    section.equal(
        "sort_key and sort_dir", names(storage.snapshots(sort_key="name", sort_dir="asc")), newest_first[::-1]
    )
    section.equal("name", names(storage.snapshots(name="s3")), ["s3"])
    section.equal(
        "volume_id with pages", names(storage.snapshots(volume_id=left.id, limit=1)), ["s6", "s4", "s2", "s0"]
    )
    storage.reset_snapshot_status(made[5], "error")
    section.equal("reset_snapshot_status", storage.get_snapshot(made[5].id).status, "error")
    section.equal("status", names(storage.snapshots(status="error")), ["s5"])
    section.equal("status and volume_id", names(storage.snapshots(status="error", volume_id=left.id)), [])
    section.equal("all_projects", names(storage.snapshots(all_projects=True)), newest_first)
    section.equal(
        "all_projects with a project_id", names(storage.snapshots(all_projects=True, project_id="b" * 32)), []
    )
    section.equal("volumes() has pages too", [volume.name for volume in storage.volumes(limit=1)], ["right", "left"])
    section.equal(
        "a snapshot in error ends a wait",
        refusal(
            storage.wait_for_status,
            storage.get_snapshot(made[5].id),
            status="available",
            failures=["error"],
            interval=0.2,
            wait=5,
        )[0],
        "ResourceFailure",
    )
    storage.update_snapshot(made[0].id, name="s1")
    section.equal("two of one name", refusal(storage.find_snapshot, "s1")[0], "DuplicateResource")


def states(section, app, caller):
    storage = caller.connect()
    volume = new_volume(storage, "vol")
    stuck = new_snapshot(storage, volume, "stuck")
    storage.reset_snapshot_status(stuck, "deleting")
    section.equal(
        "delete_snapshot of a busy one",
        refusal(storage.delete_snapshot, stuck),
        (
            "BadRequestException",
            400,
            "Invalid snapshot: Snapshot status must be available or error and must not be part of a group.",
        ),
    )
    storage.delete_snapshot(stuck, force=True)
    gone(storage, stuck)
    section.equal("delete_snapshot with force", names(storage.snapshots()), [])
    snapshot = storage.create_snapshot(volume_id=volume.id, name="s")
    storage.set_snapshot_status(snapshot.id, "error", progress="42%")
    found = storage.get_snapshot(snapshot.id)
    section.equal("set_snapshot_status, as a storage service does", (found.status, found.progress), ("error", "42%"))
    section.equal(
        "create_volume of a snapshot in error",
        refusal(storage.create_volume, name="none", snapshot_id=snapshot.id),
        ("BadRequestException", 400, "Invalid snapshot: Originating snapshot status must be one of 'available' values"),
    )
    app.set_volume_status(volume.id, "in-use")
    section.equal(
        "create_snapshot of a volume in use",
        refusal(storage.create_snapshot, volume_id=volume.id, name="hot"),
        (
            "BadRequestException",
            400,
            f"Invalid volume: Volume {volume.id} status must be available, but current status is: in-use.",
        ),
    )
    hot = storage.create_snapshot(volume_id=volume.id, name="hot", is_forced=True)
    section.equal("with is_forced", (hot.name, hot.status), ("hot", "creating"))
    storage.wait_for_status(hot, interval=0.2, wait=30)
    app.set_volume_status(volume.id, "available")
    storage.revert_volume_to_snapshot(volume.id, hot.id)
    reverted = eventually(lambda: storage.get_volume(volume.id).status, "available")
    section.equal("revert_volume_to_snapshot", reverted, "available")
    storage.wait_for_status(hot, interval=0.2, wait=30)
    copy = storage.create_volume(name="copy", snapshot_id=hot.id)
    section.equal("create_volume of a snapshot", (copy.size, copy.snapshot_id), (1, hot.id))
    storage.delete_volume(volume, cascade=True)
    gone(storage, snapshot, hot)
    storage.wait_for_delete(volume, interval=0.2, wait=30)
    section.equal("delete_volume with cascade", [each.name for each in storage.volumes()], ["copy"])


def adoption(section, app, caller):
    storage = caller.connect()
    volume = new_volume(storage, "vol")
    adopted = storage.manage_snapshot(
        volume_id=volume.id, ref={"source-name": "on-disk"}, name="adopted", description="d", metadata={"k": "v"}
    )
    section.equal(
        "manage_snapshot",
        (adopted.name, adopted.description, adopted.metadata, adopted.status, adopted.size),
        ("adopted", "d", {"k": "v"}, "creating", 1),
    )
    storage.wait_for_status(adopted, interval=0.2, wait=30)
    section.equal("it becomes available", storage.get_snapshot(adopted.id).status, "available")
    host = storage.get_volume(volume.id).host
    # openstacksdk sends no microversion with this request by itself, but the operation needs 3.8.
    section.equal(
        "manageable_snapshots",
        list(caller.connect(block_storage_default_microversion="3.8").manageable_snapshots(host=host)),
        [],
    )
    section.equal(
        "manage_snapshot of an unknown volume",
        refusal(storage.manage_snapshot, volume_id=NOWHERE, ref={"source-name": "x"}),
        ("NotFoundException", 404, f"Volume {NOWHERE} could not be found."),
    )
    storage.unmanage_snapshot(adopted.id)
    gone(storage, adopted)
    section.equal("unmanage_snapshot", list(storage.snapshots()), [])


def limits(section, app, caller):
    storage = caller.connect()
    volume = new_volume(storage, "vol", 3)
    new_snapshot(storage, volume, "s")
    absolute = storage.get_limits().absolute
    section.equal(
        "get_limits counts what is used",
        (absolute.total_snapshots_used, absolute.total_gigabytes_used, absolute.total_volumes_used),
        (1, 6, 1),
    )
    section.equal(
        "and knows the quota",
        (absolute.max_total_snapshots, absolute.max_total_volume_gigabytes, absolute.max_total_volumes),
        (10, 1000, 10),
    )
    quota = storage.update_quota_set(caller.project_id, snapshots=1)
    section.equal("update_quota_set", quota.snapshots, 1)
    quota = storage.get_quota_set(caller.project_id, usage=True)
    section.equal("get_quota_set with usage", (quota.snapshots, quota.usage["snapshots"]), (1, 1))
    section.equal("get_quota_set_defaults", storage.get_quota_set_defaults(caller.project_id).snapshots, 10)
    section.equal(
        "create_snapshot beyond the quota",
        refusal(storage.create_snapshot, volume_id=volume.id, name="over")[1:],
        (413, "SnapshotLimitExceeded: Maximum number of snapshots allowed (1) exceeded"),
    )
    storage.revert_quota_set(caller.project_id)
    section.equal("revert_quota_set", storage.get_quota_set(caller.project_id).snapshots, 10)
    again = storage.create_snapshot(volume_id=volume.id, name="again")
    section.equal("after which there is room again", again.status, "creating")
    filters = {each.resource: each.filters for each in storage.resource_filters()}
    section.equal(
        "resource_filters",
        filters["snapshot"],
        ["name", "status", "volume_id", "metadata", "availability_zone", "consumes_quota"],
    )
    section.equal("extensions", "os-snapshot-manage" in {each.alias for each in storage.extensions()}, True)


def backups(section, app, caller):
    """The sequence of a CSI driver whose snapshot class has `type: backup`."""
    storage = caller.connect(block_storage_default_microversion="3.51")
    volume = new_volume(storage, "pv", 2)
    snapshot = new_snapshot(storage, volume, "content", force=True, metadata={"cinder.csi.openstack.org/cluster": "k"})
    backup = storage.create_backup(
        volume_id=volume.id,
        snapshot_id=snapshot.id,
        name="content",
        availability_zone="nova",
        metadata={"cinder.csi.openstack.org/cluster": "k"},
    )
    section.equal("the snapshot is backed up", storage.get_snapshot(snapshot.id).status, "backing-up")
    section.equal(
        "it cannot be deleted meanwhile", refusal(storage.delete_snapshot, snapshot)[:2], ("BadRequestException", 400)
    )
    backup = storage.wait_for_status(backup, status="available", failures=["error"], interval=0.2, wait=30)
    section.equal(
        "wait_for_status of a backup",
        (backup.status, backup.size, backup.snapshot_id, backup.metadata, backup.availability_zone),
        ("available", 2, snapshot.id, {"cinder.csi.openstack.org/cluster": "k"}, "nova"),
    )
    storage.delete_snapshot(snapshot)
    gone(storage, snapshot)
    section.equal("the backup stays without its snapshot", storage.get_backup(backup.id).status, "available")
    section.equal("backups by volume", [each.id for each in storage.backups(volume_id=volume.id)], [backup.id])
    restored = storage.create_volume(name="restored", size=2, backup_id=backup.id)
    restored = storage.wait_for_status(restored, status="available", failures=["error"], interval=0.2, wait=30)
    section.equal("a volume from the backup", (restored.size, restored.name), (2, "restored"))
    storage.wait_for_status(backup, status="available", failures=["error"], interval=0.2, wait=30)
    absolute = storage.get_limits().absolute
    section.equal(
        "get_limits counts backups", (absolute.total_backups_used, absolute.total_backup_gigabytes_used), (1, 2)
    )
    storage.delete_backup(backup)
    storage.wait_for_delete(backup, interval=0.2, wait=30)
    section.equal("delete_backup", list(storage.backups()), [])


SCENARIOS = [life, properties, pages, states, adoption, limits, backups]
