package device

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"github.com/lotabots/lotabots/cluster/spec"
)

// maxFaultFile bounds the fault file.
const maxFaultFile = 1 << 20

// A faultFile is a JSON object of Faults by device id, such as {"gpu/sim-n1-0": {"xid": 79}}. It is
// read at every interval; devices that it does not name are well, and so are all where there is no
// file. A damaged one is told of, and what it said before still goes.
type faultFile struct {
	path   string // empty: none
	log    *slog.Logger
	last   []byte // as read last; nil: nothing was
	broken string // what was told of it last
	faults map[spec.DeviceID]Fault
}

func (f *faultFile) look() {
	if f.path == "" {
		return
	}
	raw, err := readBounded(f.path)
	if err == nil && f.last != nil && bytes.Equal(raw, f.last) {
		return
	}
	var faults map[spec.DeviceID]Fault
	if err == nil {
		f.last = raw
		faults, err = parseFaults(raw)
	}
	if errors.Is(err, fs.ErrNotExist) {
		f.last, faults, err = nil, nil, nil
	}
	if err != nil {
		if f.broken != err.Error() {
			f.broken = err.Error()
			f.log.Error("the fault file is damaged; what it said before still goes", "file", f.path, "error", err)
		}
		return
	}
	f.faults, f.broken = faults, ""
}

func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxFaultFile+1))
	if err == nil && len(raw) > maxFaultFile {
		err = fmt.Errorf("it has more than %d bytes", maxFaultFile)
	}
	return raw, err
}

// parseFaults reads a fault file whole, or says what is wrong with it.
func parseFaults(raw []byte) (map[spec.DeviceID]Fault, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	faults := map[spec.DeviceID]Fault{}
	if err := d.Decode(&faults); err != nil {
		return nil, err
	}
	if faults == nil {
		return nil, errors.New("it is no object")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows the object")
	}
	for id, f := range faults {
		switch {
		case f.Xid < 0 || f.Xid > maxXid:
			return nil, fmt.Errorf("%s: xid %d is none", id, f.Xid)
		case f.PID < 0:
			return nil, fmt.Errorf("%s: pid %d is none", id, f.PID)
		case f.Temperature < 0 || f.Temperature > maxCelsius:
			return nil, fmt.Errorf("%s: a temperature of %g degrees", id, f.Temperature)
		case len(f.Throttle) > 16:
			return nil, fmt.Errorf("%s: %d reasons to be slow", id, len(f.Throttle))
		}
		for _, t := range f.Throttle {
			if !wordForm.MatchString(t) {
				return nil, fmt.Errorf("%s: %.40q is no reason to be slow", id, t)
			}
		}
	}
	return faults, nil
}
