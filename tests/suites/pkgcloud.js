// Calls all functions of pkgcloud for block storage against a Keystone and the app of the same origin, and prints a line for each.

'use strict';

const path = require('path');
const { promisify } = require('util');

const [, , packages, origin] = process.argv;
const pkgcloud = require(path.join(packages, 'pkgcloud'));

const client = pkgcloud.blockstorage.createClient({
  provider: 'openstack',
  authUrl: `${origin}/identity`,
  keystoneAuthVersion: 'v3',
  username: 'demo',
  password: 'demo',
  domainName: 'Default',
  tenantName: 'demo',
  projectDomainName: 'Default',
  region: 'RegionOne',
});
// pkgcloud looks for the type `volume`, which clouds of today have under the names `volumev3` and `block-storage` only.
client.serviceType = 'block-storage';

const call = (name, ...given) => promisify(client[name]).apply(client, given);
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function equal(name, found, wanted) {
  if (JSON.stringify(found) !== JSON.stringify(wanted)) {
    throw new Error(`${name} is ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
  }
}

function check(condition, text) {
  if (!condition) {
    throw new Error(text);
  }
}

async function until(name, id, done) {
  for (let tries = 0; tries < 200; tries += 1) {
    const found = await call(name, id).catch((error) => error);
    if (done(found)) {
      return found;
    }
    await sleep(200);
  }
  throw new Error(`${name} of ${id} did not become what it should`);
}

const available = (found) => found.status === 'available';
const gone = (found) => found.statusCode === 404;

let volume;
let snapshot;
let copy;
let type;

const TESTS = {
  async getVolumeTypes() {
    const types = await call('getVolumeTypes');
    [type] = types;
    check(types.length > 0 && type.name, 'there is no volume type');
  },
  async getVolumeType() {
    equal('name', (await call('getVolumeType', type)).name, type.name);
    equal('name', (await call('getVolumeType', type.id)).name, type.name);
  },
  async createVolume() {
    volume = await call('createVolume', { name: 'v', description: 'd', size: 1, volumeType: type });
    equal('status', volume.status, 'creating');
    volume = await until('getVolume', volume.id, available);
    equal('size', volume.size, 1);
  },
  async getVolume() {
    const found = await call('getVolume', volume);
    equal('volume', [found.id, found.name, found.description, found.volumeType], [volume.id, 'v', 'd', type.name]);
  },
  async getVolumes() {
    equal('ids', (await call('getVolumes')).map((each) => each.id), [volume.id]);
  },
  async 'getVolumes, with details'() {
    equal('ids', (await call('getVolumes', true)).map((each) => each.id), [volume.id]);
  },
  async updateVolume() {
    volume.name = 'w';
    equal('name', (await call('updateVolume', volume)).name, 'w');
  },
  async createSnapshot() {
    snapshot = await call('createSnapshot', { name: 's', description: 'd', volumeId: volume.id });
    equal('status', snapshot.status, 'creating');
    snapshot = await until('getSnapshot', snapshot.id, available);
  },
  async 'createSnapshot, with force'() {
    const forced = await call('createSnapshot', { name: 'forced', description: 'd', volumeId: volume.id, force: true });
    await until('getSnapshot', forced.id, available);
    equal('result', await call('deleteSnapshot', forced.id), true);
    await until('getSnapshot', forced.id, gone);
  },
  async getSnapshot() {
    const found = await call('getSnapshot', snapshot);
    const shown = [found.id, found.name, found.description, found.volumeId, found.size, found.metadata];
    equal('snapshot', shown, [snapshot.id, 's', 'd', volume.id, 1, {}]);
  },
  async getSnapshots() {
    equal('ids', (await call('getSnapshots')).map((each) => each.id), [snapshot.id]);
  },
  async 'getSnapshots, with details'() {
    equal('ids', (await call('getSnapshots', true)).map((each) => each.id), [snapshot.id]);
  },
  async updateSnapshot() {
    snapshot.name = 't';
    equal('name', (await call('updateSnapshot', snapshot)).name, 't');
  },
  async 'createVolume, from a snapshot'() {
    copy = await call('createVolume', { name: 'copy', size: 1, snapshotId: snapshot.id });
    copy = await until('getVolume', copy.id, available);
    equal('snapshot', copy.snapshotId, snapshot.id);
  },
  async deleteSnapshot() {
    equal('result', await call('deleteSnapshot', snapshot), true);
    await until('getSnapshot', snapshot.id, gone);
  },
  async deleteVolume() {
    for (const each of [copy, volume]) {
      await call('deleteVolume', each);
      await until('getVolume', each.id, gone);
    }
  },
};

async function main() {
  for (const [name, test] of Object.entries(TESTS)) {
    const said = await test().then(() => '', (error) => {
      const answer = error.result ? JSON.stringify(error.result) : '';
      return `${error.message} ${answer}`.trim() || String(error);
    });
    console.log(JSON.stringify([name, said === '' ? 'passed' : 'failed', said]));
  }
}

main();
