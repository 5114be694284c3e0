//go:build !linux

package account

import "errors"

// May tells why this process cannot start programs as another user.
func May() error { return errors.New("that is done on Linux alone") }
