package device

import (
	"errors"
)

func cpuDevice(c Config) (Device, error) { return Device{}, errors.New("not here yet") }
