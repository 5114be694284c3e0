package config

import (
	"fmt"
	"reflect"

	"github.com/lotabots/lotabots/actors/engine/custom"
)

// presetsType is that of the one key whose values are more than texts and numbers.
var presetsType = reflect.TypeFor[[]custom.Preset]()

// toPresets reads presets, of which a file has a list, and a variable or flag its text in YAML.
// Unlike of other lists, a key that is unknown inside is an error.
func toPresets(_, to reflect.Type, v any) (any, error) {
	if to != presetsType {
		return v, nil
	}
	return custom.Decode(v)
}

// shown is a value as a problem tells it.
func shown(v any) string {
	if presets, ok := v.([]custom.Preset); ok {
		return fmt.Sprintf("%d presets", len(presets))
	}
	return fmt.Sprint(public(v))
}
