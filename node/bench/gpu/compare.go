package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os/exec"
	"strconv"
	"strings"

	"github.com/lotabots/lotabots/actors/device"
)

// smiFields are asked of nvidia-smi, in this order.
const smiFields = "uuid,memory.total,memory.free,temperature.gpu,power.draw,clocks.sm,driver_version"

// A row is what nvidia-smi says of one GPU; NaN: nothing.
type row struct {
	totalMiB, freeMiB, celsius, watts, mhz float64
	driver                                 string
}

func askSMI(ctx context.Context, program string) (map[string]row, error) {
	out, err := exec.CommandContext(ctx, program, "--query-gpu="+smiFields, "--format=csv,noheader,nounits").Output()
	if err != nil {
		return nil, fmt.Errorf("nvidia-smi: %w", err)
	}
	return parseSMI(string(out))
}

func parseSMI(out string) (map[string]row, error) {
	r := csv.NewReader(strings.NewReader(out))
	r.TrimLeadingSpace, r.FieldsPerRecord = true, len(strings.Split(smiFields, ","))
	lines, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("nvidia-smi says what was not expected: %w", err)
	}
	number := func(s string) float64 {
		v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if err != nil { // [N/A], [Not Supported]
			return math.NaN()
		}
		return v
	}
	rows := map[string]row{}
	for _, f := range lines {
		rows[f[0]] = row{totalMiB: number(f[1]), freeMiB: number(f[2]), celsius: number(f[3]), watts: number(f[4]), mhz: number(f[5]), driver: f[6]}
	}
	return rows, nil
}

// compare tells what a reading has otherwise than nvidia-smi, beyond what a second may change.
func compare(d device.Device, r device.Reading, smi row) (differs []string) {
	check := func(what string, ours, theirs, within float64) {
		if !math.IsNaN(theirs) && math.Abs(ours-theirs) > within {
			differs = append(differs, fmt.Sprintf("%s is %g, nvidia-smi says %g", what, ours, theirs))
		}
	}
	if smi == (row{}) {
		return []string{"nvidia-smi does not know it"}
	}
	check("memory in MiB", float64(d.MemoryTotal>>20), smi.totalMiB, 2)
	check("free memory in MiB", float64(r.MemoryFree>>20), smi.freeMiB, 64)
	check("temperature", r.TemperatureC, smi.celsius, 5)
	check("power", r.PowerW, smi.watts, max(25, smi.watts/4))
	if !math.IsNaN(smi.mhz) { // clocks follow the load within milliseconds; a wrong unit or sensor would show
		if ours := float64(r.ClockMHz); ours < smi.mhz/4 || ours > 4*max(smi.mhz, 200) {
			differs = append(differs, fmt.Sprintf("clock is %g MHz, nvidia-smi says %g", ours, smi.mhz))
		}
	}
	if d.Driver != smi.driver {
		differs = append(differs, fmt.Sprintf("driver is %q, nvidia-smi says %q", d.Driver, smi.driver))
	}
	return differs
}

// watching reads the helper's lines until it says whose Xids it hears of.
func watching(lines io.Reader) (uuids []string, why string, err error) {
	scan := bufio.NewScanner(lines)
	for scan.Scan() {
		var line struct {
			Watching *struct {
				UUIDs []string `json:"uuids"`
				Why   string   `json:"why"`
			} `json:"watching"`
		}
		if json.Unmarshal(scan.Bytes(), &line) == nil && line.Watching != nil {
			return line.Watching.UUIDs, line.Watching.Why, nil
		}
	}
	return nil, "", errors.Join(errors.New("lotabots-engine has not said whose Xids it hears of"), scan.Err())
}
