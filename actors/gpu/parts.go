package gpu

import (
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/cluster/wire"
)

const (
	// maxInstances is how many instances a device may hold: with long names its digest
	// takes some 20 datagrams then.
	maxInstances = 64
	shortReason  = 60 // bytes, of each instance in a digest that comes in parts
)

// Parts is the device's digest as it travels: whole, where one datagram has room for
// it without its long reasons; else in as few parts as have. It changes d, and owns it.
func Parts(d *wire.DeviceLoad) []*wire.DeviceLoad {
	if proto.Size(d) <= MaxDevice {
		return []*wire.DeviceLoad{d}
	}
	eachReason(d, shortReason)
	if proto.Size(d) <= MaxDevice {
		return []*wire.DeviceLoad{d}
	}
	instances := d.Instances
	d.Instances = nil
	parts, size := []*wire.DeviceLoad{d}, proto.Size(d)+partSize
	for _, i := range instances {
		last := parts[len(parts)-1]
		one := proto.Size(&wire.DeviceLoad{Instances: []*wire.InstanceLoad{i}})
		if size+one > MaxDevice && (last == d || len(last.Instances) > 0) {
			last = &wire.DeviceLoad{Device: d.Device, Seq: d.Seq}
			parts, size = append(parts, last), proto.Size(last)+partSize
		}
		last.Instances = append(last.Instances, i)
		size += one
	}
	for i, p := range parts {
		p.Part, p.Parts = uint32(i+1), uint32(len(parts))
	}
	return parts
}

// partSize is what the numbers of a part take of it.
const partSize = 6

// fitting tells whether every part fits in a datagram.
func fitting(parts []*wire.DeviceLoad) bool {
	for _, p := range parts {
		if proto.Size(p) > MaxDevice {
			return false
		}
	}
	return true
}
