package instance

import (
	"google.golang.org/protobuf/proto"

	"github.com/lotabots/lotabots/actors/device"
	"github.com/lotabots/lotabots/actors/engine"
	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
)

// Spec is what the engine of load is to be. The model's name stands in for the
// path of its file, which is not known before it has been brought; adapters have none.
func Spec(load *wire.LoadModel, d device.Device, others ...device.Device) engine.Spec {
	placement, _ := proto.Marshal(load) // which has come as bytes
	var adapters []engine.AdapterFile
	for _, a := range load.GetAdapters() {
		adapters = append(adapters, engine.AdapterFile{Name: a.GetName()})
	}
	return engine.Spec{
		Instance: spec.InstanceID(load.GetInstance()), Epoch: load.GetEpoch(), Placement: placement,
		Deployment: load.GetDeployment(), ModelName: load.GetDeployment(),
		Model: load.GetModel(), Preset: load.GetEngine(), Options: load.GetOptions(), Context: load.GetContext(), Slots: load.GetSlots(),
		Device: d, Others: others, Adapters: adapters, MemoryBytes: load.GetMemoryBytes(),
	}
}
