//go:build !linux

package blobs

import (
	"errors"
	"os"
)

func openDirect(string, int) (*os.File, error) { return nil, errors.ErrUnsupported }

func reserve(*os.File, int64) (bool, error) { return false, nil }
