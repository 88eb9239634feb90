"""A session of openstacksdk, written as a user of a cloud would: signin_sdk.py. The environment selects the cloud."""

import json

import openstack

connection = openstack.connect(cloud="local")
storage = connection.block_storage

volume = storage.create_volume(name="vol", size=1)
volume = storage.wait_for_status(volume, status="available", interval=0.2, wait=30)

snapshot = storage.create_snapshot(volume_id=volume.id, name="proxy")
snapshot = storage.wait_for_status(snapshot, status="available", interval=0.2, wait=30)
created = [snapshot.name, snapshot.status]
found = storage.find_snapshot("proxy").name
storage.delete_snapshot(snapshot)
storage.wait_for_delete(snapshot, interval=0.2, wait=30)
deleted = [own.name for own in storage.snapshots()]

taken = connection.create_volume_snapshot(volume.id, name="cloud", wait=True, timeout=30)
removed = connection.delete_volume_snapshot("cloud", wait=True, timeout=30)
left = [own.name for own in connection.list_volume_snapshots()]

print(
    json.dumps(
        {
            "project": connection.current_project.name,
            "created": created,
            "found": found,
            "deleted": deleted,
            "cloud layer": [taken.name, taken.status, removed, left],
        }
    )
)
