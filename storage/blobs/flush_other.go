//go:build !linux

package blobs

import "os"

// flush does nothing here: all is written at the end.
func flush(*os.File, int64, int64) {}
