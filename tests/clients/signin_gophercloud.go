// A session of gophercloud, written as a user of a cloud would: only the variables OS_* say where the cloud is and who
// signs in. It prints the names and statuses that it has seen as JSON.
//
// It is built with Debian's golang-go and golang-github-gophercloud-gophercloud-dev (0.12):
// GO111MODULE=off GOPATH=/usr/share/gocode go run tests/clients/signin_gophercloud.go
package main

import (
	"encoding/json"
	"log"
	"os"

	"github.com/gophercloud/gophercloud"
	"github.com/gophercloud/gophercloud/openstack"
	"github.com/gophercloud/gophercloud/openstack/blockstorage/v3/snapshots"
	"github.com/gophercloud/gophercloud/openstack/blockstorage/v3/volumes"
)

const seconds = 30

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	options, err := openstack.AuthOptionsFromEnv()
	check(err)
	provider, err := openstack.AuthenticatedClient(options)
	check(err)
	storage, err := openstack.NewBlockStorageV3(provider, gophercloud.EndpointOpts{Region: os.Getenv("OS_REGION_NAME")})
	check(err)

	volume, err := volumes.Create(storage, volumes.CreateOpts{Size: 1, Name: "vol"}).Extract()
	check(err)
	check(volumes.WaitForStatus(storage, volume.ID, "available", seconds))
	snapshot, err := snapshots.Create(storage, snapshots.CreateOpts{VolumeID: volume.ID, Name: "snap"}).Extract()
	check(err)
	created := snapshot.Status
	check(snapshots.WaitForStatus(storage, snapshot.ID, "available", seconds))

	pages, err := snapshots.List(storage, snapshots.ListOpts{}).AllPages()
	check(err)
	listed, err := snapshots.ExtractSnapshots(pages)
	check(err)
	names := []string{}
	for _, own := range listed {
		names = append(names, own.Name+" "+own.Status)
	}

	check(snapshots.Delete(storage, snapshot.ID).ExtractErr())
	gone := gophercloud.WaitFor(seconds, func() (bool, error) {
		_, err := snapshots.Get(storage, snapshot.ID).Extract()
		_, isMissing := err.(gophercloud.ErrDefault404)
		return isMissing, nil
	})
	check(gone)
	check(json.NewEncoder(os.Stdout).Encode(map[string]interface{}{"created": created, "listed": names}))
}
