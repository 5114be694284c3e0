//go:build mutant

package infer

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec/mutant"
)

// TestTheMutantIsNoticed runs this binary again with the mutant chosen: the
// test of cut answers must fail then.
func TestTheMutantIsNoticed(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	again := exec.Command(self, "-test.run=^TestACutAnswerIsBroken$")
	again.Env = append(os.Environ(), mutant.Variable+"="+string(mutant.SilentTruncation))
	out, err := again.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "want spec.ErrBroken") {
		t.Errorf("a build that hides cut answers passed: %v\n%s", err, out)
	}
}
