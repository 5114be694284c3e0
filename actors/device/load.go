package device

import (
	"os"
	"runtime"
	"strconv"
	"strings"
)

// machineLoad is how many tasks compute or wait to, for each processor; 0: the system does not tell.
func machineLoad() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	return loadOf(string(text), runtime.NumCPU())
}

// loadOf reads the first number of /proc/loadavg, the mean of a minute; 0: it makes no sense.
func loadOf(text string, processors int) float64 {
	first, _, _ := strings.Cut(text, " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil || !(load >= 0 && load < 1e6) {
		return 0
	}
	return load / float64(max(processors, 1))
}
