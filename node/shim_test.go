package node

import (
	"os"
	"testing"

	"github.com/lotabots/lotabots/actors/shim"
)

// The test binary is also the shim of the engines that its nodes start.
func TestMain(m *testing.M) {
	shim.IfAsked()
	os.Exit(m.Run())
}
