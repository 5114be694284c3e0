//go:build cgo && linux

package nvml

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stddef.h>

typedef int (*init_fn)(unsigned int);
typedef int (*device_fn)(int *, int);
typedef int (*retain_fn)(void **, int);
typedef int (*current_fn)(void *);
typedef int (*alloc_fn)(unsigned long long *, size_t);

// hold takes memory on GPU 0 of those that this process may see. It answers CUDA's code, or -1: no
// library, -2: it lacks a function.
static int hold(size_t bytes) {
	void *lib = dlopen("libcuda.so.1", RTLD_NOW);
	if (lib == NULL) return -1;
	init_fn init = (init_fn)dlsym(lib, "cuInit");
	device_fn device = (device_fn)dlsym(lib, "cuDeviceGet");
	retain_fn retain = (retain_fn)dlsym(lib, "cuDevicePrimaryCtxRetain");
	current_fn current = (current_fn)dlsym(lib, "cuCtxSetCurrent");
	alloc_fn alloc = (alloc_fn)dlsym(lib, "cuMemAlloc_v2");
	if (!init || !device || !retain || !current || !alloc) return -2;
	int d = 0, code;
	void *context = NULL;
	unsigned long long memory = 0;
	if ((code = init(0)) != 0) return code;
	if ((code = device(&d, 0)) != 0) return code;
	if ((code = retain(&context, d)) != 0) return code;
	if ((code = current(context)) != 0) return code;
	return alloc(&memory, bytes);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime"
)

// Hold takes memory, through the driver's CUDA library, on the first GPU that the process may see, and
// keeps it until the process ends: for checks of what others see of it.
func Hold(bytes uint64) error {
	runtime.LockOSThread() // a context is a thread's
	defer runtime.UnlockOSThread()
	switch code := C.hold(C.size_t(bytes)); code {
	case 0:
		return nil
	case -1:
		return errors.New("libcuda.so.1 is not here")
	case -2:
		return errors.New("libcuda.so.1 lacks a function that is needed")
	default:
		return fmt.Errorf("CUDA refuses with its code %d", code)
	}
}
