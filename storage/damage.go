package storage

import (
	"errors"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// damage is an error that tells where the database is damaged, in one line.
type damage struct {
	text  string
	cause error
}

func (d *damage) Error() string { return d.text }
func (d *damage) Unwrap() error { return d.cause }

// Where has an error of the database say which file is damaged, and where in it.
// Pebble keeps that beside its errors' text, or on lines that repeat each other.
// Other errors stay as they are.
func Where(err error) error {
	if !pebble.IsCorruptionError(err) {
		return err
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	for e := err; e != nil; e = errors.Unwrap(e) {
		if d, ok := e.(interface{ ErrorDetail() string }); ok {
			if detail, _, _ := strings.Cut(d.ErrorDetail(), "\n"); detail != "" && !strings.Contains(text, detail) {
				text += " (" + detail + ")"
			}
		}
	}
	return &damage{text: "the database is damaged: " + text, cause: err}
}
