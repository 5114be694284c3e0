package device

import "fmt"

// The sources that an Xid's class is from.
const (
	// catalogue is NVIDIA's Xid catalogue, column "Immediate Action"
	// (docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html, as of 2025).
	catalogue = "NVIDIA's Xid catalogue"
	// guide is the description of single Xids (docs.nvidia.com/deploy/xid-errors, "Working with Xid errors").
	guide = "NVIDIA's description of Xid errors"
	// ours is a decision of this project, with its reason beside it.
	ours = "LotaBots"
)

// An xidClass is a group of Xids with one answer.
type xidClass struct {
	kind   Kind
	source string
	action string // the source's word for it
	xids   []int
}

// xidClasses has every Xid that is answered. The rest is a Notice: numbers are added with every
// driver, most are informational, and what really is wrong shows in the engine, in the counters of
// memory errors, or in what the driver recommends (Reading.Recovery, which is also what Xid 154 is about).
var xidClasses = []xidClass{
	{AppFault, catalogue, "RESTART_APP", []int{
		8, 11, 13, 25, 31, 32, 39, 40, 41, 60, 68, 69, 70, 71, 72, 75, 76, 77, 80, 82, 83, 84, 85, 86, 88, 89, 94,
		96, 97, 98, 99, 100, 101, 102, 103, 104, 105, 126, 127, 128, 129, 130, 131, 132, 133, 134, 135, 139,
	}},
	// The catalogue says IGNORE: the GPU is well. The application has lost its channel and must end.
	{AppFault, guide, "the application must terminate", []int{43}},
	{DeviceFault, catalogue, "RESET_GPU", []int{46, 62, 64, 95, 109, 110, 119, 120, 136, 140, 143, 155}},
	{DeviceFault, catalogue, "RESTART_VM", []int{151}},
	{DeviceFault, catalogue, "CHECK_MECHANICALS", []int{54}},
	// A double bit error is to be followed by more numbers, or by a reset: workflow Xid 48.
	{DeviceFault, catalogue, "WORKFLOW_XID_48", []int{48}},
	// NVLink errors of A100 and H100: registers that NVML does not give decide. Those of newer ones
	// (144 to 150) are mostly to be ignored, and Reading.Recovery tells the others.
	{DeviceFault, ours, "WORKFLOW_NVLINK_ERR cannot be followed without the registers", []int{74}},
	{Gone, catalogue, "RESTART_BM", []int{79}},
}

var xidKinds = func() map[int]Kind {
	kinds := map[int]Kind{}
	for _, c := range xidClasses {
		for _, x := range c.xids {
			kinds[x] = c.kind
		}
	}
	return kinds
}()

// xidTexts are those that a person is likely to meet.
var xidTexts = map[int]string{
	13: "graphics engine exception", 31: "GPU memory page fault", 43: "the GPU stopped processing for a process",
	45: "clean-up after an error before", 48: "double bit memory error", 54: "auxiliary power is not connected",
	62: "its micro-controller halted", 63: "a damaged row of memory was marked for replacement",
	64: "a damaged row of memory could not be replaced", 74: "NVLink error", 79: "it has fallen off the bus",
	92: "high rate of corrected memory errors", 94: "contained memory error", 95: "uncontained memory error",
	109: "context switch timeout", 119: "its system processor does not answer", 120: "error of its system processor",
	140: "unrecovered memory error", 143: "it could not be initialised", 154: "the driver's recommendation has changed",
}

// KindOfXid classifies an Xid.
func KindOfXid(xid int) Kind {
	if k, ok := xidKinds[xid]; ok {
		return k
	}
	return Notice
}

// XidEvent is the event of an Xid, without a Device.
func XidEvent(xid, pid int) Event {
	e := Event{Kind: KindOfXid(xid), Xid: xid, PID: pid, Text: fmt.Sprintf("xid %d", xid)}
	if text := xidTexts[xid]; text != "" {
		e.Text += ": " + text
	}
	return e
}
