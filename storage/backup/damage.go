package backup

import (
	"errors"
	"fmt"
	"io"
)

// ErrDamaged is wrapped by the error of a backup that is not whole.
var ErrDamaged = errors.New("the backup is damaged")

// ErrKey is wrapped where the key or passphrase given does not open the backup.
var ErrKey = errors.New("the key that was given does not open the backup")

// A Damage says where a backup is damaged.
type Damage struct {
	Part string // of the file
	At   int64  // bytes of the file that had been read when it was noticed: it lies before
	Err  error
}

func (d *Damage) Error() string {
	return fmt.Sprintf("%v: %s, before byte %d: %v", ErrDamaged, d.Part, d.At, d.Err)
}

// Unwrap makes a Damage an ErrDamaged, and what its cause is.
func (d *Damage) Unwrap() []error { return []error{ErrDamaged, d.Err} }

// counted counts what was read, and keeps the file system's own errors apart
// from damage.
type counted struct {
	r     io.Reader
	n     int64
	fault error
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.fault = err
	}
	return n, err
}

// fault makes err damage of the part, unless it is the disk's or the network's
// trouble: the backup may be whole then.
func fault(r io.Reader, part string, err error) error {
	c, ok := r.(*counted)
	if ok && c.fault != nil {
		return fmt.Errorf("reading the backup: %w", c.fault)
	}
	var known *Damage
	if errors.As(err, &known) || errors.Is(err, ErrKey) || errors.Is(err, ErrNewer) {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("it ends too early: %w", io.ErrUnexpectedEOF)
	}
	d := &Damage{Part: part, Err: err}
	if ok {
		d.At = c.n
	}
	return d
}
