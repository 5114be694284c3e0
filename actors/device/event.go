package device

import (
	"fmt"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A Kind says what an Event asks for.
type Kind string

// Kinds of events, the worst last.
const (
	Notice      Kind = "notice"       // to be told and counted, nothing more
	AppFault    Kind = "app_fault"    // an engine's fault, or one that ends with it: restart the engine
	DeviceFault Kind = "device_fault" // the device cannot be trusted with more work until somebody has looked
	Gone        Kind = "gone"         // the device is not there any more
)

// An Event is something that happened to a device.
type Event struct {
	Device spec.DeviceID
	Kind   Kind
	Xid    int    // the driver's number; 0: it is not the driver that told
	PID    int    // of the process that it happened to; 0: not known
	Text   string // what happened, for people
}

// A Baseline is what an operator has accepted of a device: errors that are no news.
// Its zero value accepts none.
type Baseline struct {
	Uncorrected uint64
	Pending     bool
	Failed      bool
	Recovery    string
}

// Accepting is the baseline of a device whose state is r.
func Accepting(r Reading) Baseline {
	return Baseline{Uncorrected: r.ECC.Uncorrected, Pending: r.Rows.Pending, Failed: r.Rows.Failed, Recovery: r.Recovery}
}

// Judge tells what a reading shows to be wrong beyond the baseline, without a Device. The thresholds
// are NVIDIA's, of the GPU memory error management guide (docs.nvidia.com/deploy/a100-gpu-mem-error-mgmt):
// an uncorrected error makes the memory's content doubtful, a remapping that is pending needs a reset
// to take effect, and one that has failed is a reason to return the card. The driver's own
// recommendation is field NVML_FI_DEV_GET_GPU_RECOVERY_ACTION.
func Judge(accepted Baseline, r Reading) (Event, bool) {
	fault := func(format string, args ...any) (Event, bool) {
		return Event{Kind: DeviceFault, Text: fmt.Sprintf(format, args...)}, true
	}
	switch {
	case r.Gone:
		return Event{Kind: Gone, Text: "lost: it does not answer the driver"}, true
	case r.Rows.Failed && !accepted.Failed:
		return fault("memory errors: no spare row is left for a damaged one")
	case r.ECC.Uncorrected > accepted.Uncorrected:
		return fault("memory errors: %d uncorrected since the driver was loaded", r.ECC.Uncorrected)
	case r.Rows.Pending && !accepted.Pending:
		return fault("memory errors: a damaged row is replaced at the next reset")
	case r.Recovery != "" && r.Recovery != accepted.Recovery:
		return fault("the driver asks for a %s", map[string]string{"reset": "reset of the GPU", "reboot": "reboot of the machine"}[r.Recovery])
	}
	return Event{}, false
}
