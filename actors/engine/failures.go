package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A Failure is what engines commonly fail of, and what to do about it.
type Failure struct {
	Kind   string // for metrics and tests: a word or two, joined by dashes
	Code   spec.Code
	What   string // happened; a part of a sentence
	Remedy string
	Line   string // of the engine's, in which it was recognised; at most maxLine bytes

	signs []string // any of them in one line, in lower case
}

// maxLine is what an error quotes of one line.
const maxLine = 240

// failures is in order of precedence: of two that are found, the earlier is the cause, since what is
// told of later follows from it, or is a warning that many starts begin with. The signs are what the
// programs print, by their sources and by what their users have reported.
var failures = []Failure{
	{Kind: "remote-code", Code: spec.CodeEngineUnavailable, What: "the model wants code of its own to be run, which is refused",
		Remedy: "Use a model whose architecture the engine has built in",
		signs:  []string{"`trust_remote_code=true`", "requires you to execute the configuration file", "contains custom code which must be executed", "weights only load failed"}},
	{Kind: "gated", Code: spec.CodeEngineUnavailable, What: "the engine wants to fetch from a model hub, which is not allowed to it",
		Remedy: "Bring all of the model's files to the node first",
		signs: []string{"gated repo", "repositorynotfounderror", "localentrynotfounderror", "we couldn't connect to 'https://huggingface.co'",
			"offlinemodeisenabled", "client error: unauthorized for url: https://huggingface.co"}},
	{Kind: "device-memory", Code: spec.CodeOutOfMemory, What: "the device has too little free memory",
		Remedy: "Lower context or slots, take a smaller quantisation, unload another model, or raise memory_bytes where the device has more",
		signs: []string{"cuda out of memory", "cuda error: out of memory", "cudamalloc failed: out of memory", "cuda_error_out_of_memory", "cudaerrormemoryallocation",
			"hip out of memory", "hiperroroutofmemory", "erroroutofdevicememory", "outofmemoryerror: cuda", "no available memory for the cache blocks",
			"is less than desired gpu memory utilization", "kv cache is needed, which is larger than the available kv cache memory",
			"larger than the maximum number of tokens that can be stored in kv cache", "please try to increase --mem-fraction-static",
			"unable to allocate cuda", "unable to allocate rocm", "unable to allocate vulkan", "unable to allocate backend buffer"}},
	{Kind: "host-memory", Code: spec.CodeOutOfMemory, What: "the machine has too little free memory",
		Remedy: "Lower context or slots, take a smaller model, or end what else uses the machine's memory",
		signs: []string{"std::bad_alloc", "cannot allocate memory", "defaultcpuallocator: can't allocate memory", "defaultcpuallocator: not enough memory", "unable to allocate cpu buffer",
			"failed to allocate cpu buffer", "model requires more system memory", "out of memory: killed process", "fatal error: runtime: out of memory"}},
	{Kind: "disk-full", Code: spec.CodeEngineStart, What: "a disk is full",
		Remedy: "Make room in the node's data directory, in /tmp and in /dev/shm", signs: []string{"no space left on device"}},
	{Kind: "driver", Code: spec.CodeEngineUnavailable, What: "the GPU's driver and what the engine was built for do not fit together",
		Remedy: "Update the driver (nvidia-smi tells its version), or use a build of the engine for it",
		signs: []string{"driver version is insufficient for cuda runtime version", "nvidia driver on your system is too old", "driver/library version mismatch",
			"no kernel image is available for execution on the device", "ptx was compiled with an unsupported toolchain", "forward compatibility was attempted on non supported hw",
			"cuda_error_system_driver_mismatch", "is not compatible with the current pytorch installation"}},
	{Kind: "option", Code: spec.CodeEngineUnavailable, What: "the engine does not know an option that it was given: it is older or newer than the preset expects",
		Remedy: "Leave the option out, or install a version of the engine that knows it",
		signs: []string{"unrecognized arguments:", "error: invalid argument:", "error: unknown argument:", "unrecognized option", "error: no such option", "invalid choice:",
			"flag provided but not defined"}},
	{Kind: "architecture", Code: spec.CodeEngineUnavailable, What: "the engine does not know the model's architecture",
		Remedy: "Use a newer version of the engine, or another engine",
		signs: []string{"unknown model architecture", "are not supported for now", "does not recognize this architecture", "unsupported architecture", "unsupported model architecture",
			"unknown model type", "unexpected platform or backend"}},
	{Kind: "format", Code: spec.CodeEngineUnavailable, What: "the model's file is damaged or of a format that the engine does not read",
		Remedy: "Import the model again from a good copy, or use an engine that reads its format",
		signs: []string{"invalid magic characters", "invalid file magic", "is not within the file bounds", "missing tensor", "wrong number of tensors", "error while deserializing header",
			"headertoolarge", "metadataincompletebuffer", "unsupported gguf", "gguf_init_from_file_impl: failed to read", "gguf_init_from_reader: failed to read", "failed to read key-value pairs", "failed to read tensor info",
			"supplied file was not in gguf format", "unsupported content type: unknown", "unable to detect model format", "unknown (magic, version) combination", "protobuf parsing failed",
			"error loading model vocabulary", "check_tensor_dims: tensor"}},
	{Kind: "library", Code: spec.CodeEngineUnavailable, What: "a library that the engine needs is missing or of another version",
		Remedy: "Install what the line names, or name the engine's library directory",
		signs: []string{"error while loading shared libraries", "cannot open shared object file", "version `glibc", "modulenotfounderror: no module named", "importerror: lib", "undefined symbol:",
			"unable to find 'libtriton_"}},
	{Kind: "file", Code: spec.CodeEngineStart, What: "a file of the model is missing",
		Remedy: "Bring the file that the line names to the node, and see that the engine's user may read it",
		signs: []string{"does not appear to have a file named", "failed to open gguf file", "is not a local folder and is not a valid model identifier", "filenotfounderror",
			"gguf_init_from_file: failed to open", "no such file or directory", "failed to poll from model repository", "failed to stat file", "permission denied"}},
	{Kind: "port", Code: spec.CodeEngineStart, What: "the port that it was to listen on had gone to another program",
		Remedy: "None: it is started again on another port", signs: []string{"address already in use", "couldn't bind http server socket", "couldn't bind to server socket", "failed to bind"}},
	{Kind: "no-device", Code: spec.CodeEngineUnavailable, What: "the engine sees no GPU that it can use",
		Remedy: "See that nvidia-smi lists the GPU and that the engine was built for it; on a machine without one, use an engine that computes on the CPU",
		signs: []string{"no cuda-capable device is detected", "invalid device ordinal", "no cuda gpus are available", "cuda_error_no_device", "cuda_error_invalid_device",
			"found no nvidia driver", "failed to infer device type", "device string must not be empty"}},
}

// Recognise finds the failure that an engine's output, or the text of how it ended, tells of.
func Recognise(text string) (Failure, bool) {
	var lines, lower []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(strings.ToValidUTF8(line, "?"))
		lines, lower = append(lines, line), append(lower, strings.ToLower(line))
	}
	for _, f := range failures {
		for i, line := range lower {
			if f.in(line) {
				f.Line = around(lines[i], line, f)
				return f, true
			}
		}
	}
	return Failure{}, false
}

// RanOut tells whether a text, be it output or made by Lastly, tells that memory ran out.
func RanOut(text string) bool {
	for i := range failures {
		if f := &failures[i]; f.Code == spec.CodeOutOfMemory && strings.Contains(text, f.What) {
			return true
		}
	}
	f, ok := Recognise(text)
	return ok && f.Code == spec.CodeOutOfMemory
}

// refusals are what engines answer a request with that they have no memory for, beside what they end of: in lower case.
var refusals = []string{"outofmemoryerror", "prefill out of memory", "decode out of memory", "kv cache exhausted", "kv cache is exhausted", "kv cache is full", "kv cache pool is full",
	"out of kv cache", "failed to find a memory slot", "failed to find free space in the kv cache", "not enough memory to handle"}

// RefusedForMemory tells whether an engine's answer to a request, of a status of 500 and above, says that it has no
// memory for it. What the engine repeats of the request may say so too: that costs places for a while.
func RefusedForMemory(body []byte) bool {
	lower := strings.ToLower(string(body))
	says := func(sign string) bool { return strings.Contains(lower, sign) }
	for i := range failures {
		if f := &failures[i]; f.Code == spec.CodeOutOfMemory && f.in(lower) {
			return true
		}
	}
	return slices.ContainsFunc(refusals, says)
}

// Lastly adds to how an engine ended that it ran out of memory, where its last output tells that.
func Lastly(e Engine, err error) error {
	t, tells := As[interface{ LastWords() string }](e)
	if !tells || err == nil {
		return err
	}
	if f, ok := Recognise(t.LastWords()); ok && f.Code == spec.CodeOutOfMemory {
		return fmt.Errorf("%w: %s (%s)", err, f.What, f.Line)
	}
	return err
}

func (f *Failure) in(lower string) bool { return f.at(lower) >= 0 }

// at is where the first of the signs that are there begins; -1: none is.
func (f *Failure) at(lower string) int {
	for _, sign := range f.signs {
		if i := strings.Index(lower, sign); i >= 0 {
			return i
		}
	}
	return -1
}

// around cuts a long line to the part that has the sign.
func around(line, lower string, f Failure) string {
	if len(line) <= maxLine {
		return line
	}
	from := 0
	if len(line) == len(lower) { // else the places differ
		from = max(0, min(f.at(lower)-maxLine/3, len(line)-maxLine))
	}
	return strings.ToValidUTF8(line[from:from+maxLine], "")
}

// killed is how a process ends that the kernel has ended for want of memory, or a person by hand.
const killed = "signal: killed"

// explain adds to e, of an engine that did not start, what is recognised in the text, which is the end of
// its output, or in e's cause.
func explain(e *spec.Error, text string) {
	if e.Err != nil {
		text += "\n" + e.Err.Error()
	}
	f, ok := Recognise(text)
	switch {
	case ok:
	case e.Code == spec.CodeEngineStart && e.Err != nil && strings.Contains(e.Err.Error(), killed):
		f = Failure{Code: spec.CodeEngineStart, What: "it was killed, as the kernel does where memory runs out",
			Remedy: "Look for \"Out of memory\" in the kernel's log; lower context or slots, or take a smaller model"}
	default:
		return
	}
	if e.Code == spec.CodeEngineStart { // else the cause was known already
		e.Code = f.Code
	}
	if e.Hint == "" {
		e.Hint = f.Remedy
	}
	e.Message += ": " + f.What
	if f.Line != "" {
		e.Message += " (" + f.Line + ")"
	}
}
