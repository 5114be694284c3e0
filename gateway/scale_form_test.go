package gateway

import (
	"reflect"
	"testing"

	"github.com/lotabots/lotabots/cluster/spec"
)

// TestScaleIsReadAsWritten: what is asked for is what is shown.
func TestScaleIsReadAsWritten(t *testing.T) {
	body := `{"scale":{"min":1,"max":4,"slot_use":0.55,"tokens_per_second":12.5,"queue_wait_p90_ms":250,"up_window_seconds":5,"down_window_seconds":60,"max_step":2,
		"schedules":[{"days":["sun","sat"],"from":"08:00","to":"24:00","timezone":"Europe/Berlin","min":2,"max":9},{"from":"22:00","to":"06:00","min":1}]}}`
	var ask deploymentForm
	f, err := decodeForm([]byte(body), &ask)
	if err != nil || len(f.problems) > 0 || ask.Scale == nil {
		t.Fatal(err, f)
	}
	got := scaleOf(ask.scale()).Scale
	ask.Scale.Schedules[1].Days = []string{} // lists are never null
	if !reflect.DeepEqual(got, ask.Scale) {
		t.Errorf("%+v became %+v", ask.Scale, got)
	}
	if none := (&scaleForm{}); none.scale() != nil || scaleOf(nil).Scale != nil {
		t.Error("none became one")
	}
	ask.Scale.Check(false, func(field, reason string) { t.Errorf("%s %s", field, reason) })
	if len(spec.ScaleDays) != 7 {
		t.Error("a week has seven days")
	}
}
