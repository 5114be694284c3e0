package config

import (
	"time"

	"github.com/lotabots/lotabots/actors/engine/custom"
)

// Config is one node's configuration. Tags: koanf is the key, help its effect,
// example a value that is valid, reload "yes" where a running node takes a change.
type Config struct {
	Node      Node      `koanf:"node"`
	Cluster   Cluster   `koanf:"cluster"`
	API       API       `koanf:"api"`
	Devices   Devices   `koanf:"devices"`
	Engines   Engines   `koanf:"engines"`
	Models    Models    `koanf:"models"`
	Placement Placement `koanf:"placement"`
	Log       Log       `koanf:"log"`
	Telemetry Telemetry `koanf:"telemetry"`
	Backup    Backup    `koanf:"backup"`
	Chaos     Chaos     `koanf:"chaos"`
}

// Node says what this node is.
type Node struct {
	ID     string   `koanf:"id" help:"name of this node, unique in the cluster; fixed once it has joined" example:"gpu-rack2-07"`
	Region string   `koanf:"region" help:"where it stands, for residency and routing" example:"eu-north"`
	Zone   string   `koanf:"zone" help:"failure domain inside the region, such as a rack" example:"rack2"`
	Roles  []string `koanf:"roles" help:"voter, worker, gateway; what the join token allows" example:"[voter, worker, gateway]"`
	Data   string   `koanf:"data" help:"directory of everything that must survive a restart" example:"/var/lib/lotabots"`
}

// Cluster says how this node meets the others.
type Cluster struct {
	Listen    string        `koanf:"listen" help:"address of the cluster port: TCP and UDP on one number" example:"0.0.0.0:7946"`
	Advertise string        `koanf:"advertise" help:"address under which the other nodes reach the cluster port; default: listen" example:"10.0.0.7:7946"`
	Seeds     []string      `koanf:"seeds" help:"cluster ports of other nodes to find the cluster by, beside the peers remembered" example:"[10.0.0.5:7946]"`
	Rejoin    time.Duration `koanf:"rejoin" help:"how often to look for members that gossip has lost" example:"15s"`
}

// API says how clients reach this node's gateway.
type API struct {
	Listen       string        `koanf:"listen" help:"address of the gateway; empty: no gateway here" example:"0.0.0.0:8080"`
	Advertise    string        `koanf:"advertise" help:"address under which clients reach it; default: listen" example:"10.0.0.7:8080"`
	PublicURL    string        `koanf:"public-url" help:"URL under which browsers reach the gateway, for single sign-on; default: http and the address that the request came to" example:"https://llm.example.com"`
	Proxies      []string      `koanf:"trusted-proxies" help:"address ranges of proxies whose X-Forwarded-For tells the client's address; empty: none" example:"[10.0.0.0/24]"`
	TLSCert      string        `koanf:"tls-cert" help:"path of the certificate that clients are shown, PEM, with its chain; read again when it changes; empty: no TLS" example:"/etc/lotabots/tls.crt"`
	TLSKey       string        `koanf:"tls-key" help:"path of its key, PEM" example:"/etc/lotabots/tls.key"`
	Origins      []string      `koanf:"cors-origins" help:"origins of web pages that may use the API from browsers, such as https://chat.example.com, or * for all; empty: none" example:"[https://chat.example.com]"`
	Credentials  bool          `koanf:"cors-credentials" help:"browsers may send those origins' requests with cookies, for a proxy in front that wants them; not with *" example:"false"`
	MaxBody      int           `koanf:"max-body" help:"largest request body, bytes" example:"33554432"`
	BodyMemory   int           `koanf:"body-memory" help:"memory that large request bodies and answers may take together, bytes, and one key half of it; 0: 256 MiB, or four times api.max-body, and never less than max-body" example:"1073741824"`
	MinRate      int           `koanf:"min-rate" help:"bytes a second that a request's body must come at, beyond 20 s, and that answers must be taken at (streams: a quarter of it), beyond 60 s; who is slower is cut off" example:"4096"`
	QueueTimeout time.Duration `koanf:"queue-timeout" reload:"yes" help:"how long a request may wait for a free slot" example:"10s"`
	LoadTimeout  time.Duration `koanf:"load-timeout" reload:"yes" help:"how long a request may wait for a model that is being loaded" example:"5m"`
	FirstToken   time.Duration `koanf:"first-token-timeout" reload:"yes" help:"how long an engine may take to its first byte" example:"60s"`
	NextToken    time.Duration `koanf:"next-token-timeout" reload:"yes" help:"how long a stream may stand still before it counts as broken" example:"30s"`
	Usage        string        `koanf:"usage" help:"how a request is written to the usage ledger before its answer ends: journal, so that it outlives the process; durable, on disk, so that it outlives a power cut too; off, not at all" example:"durable"`
	DrainNotice  time.Duration `koanf:"drain-notice" help:"how long the gateway says at SIGTERM that it is not ready, and serves, before it takes no more connections; what load balancers need to see it" example:"5s"`
	ShutdownIn   time.Duration `koanf:"shutdown-timeout" reload:"yes" help:"how long running requests may take to finish at SIGTERM" example:"30s"`
}

// Devices says what the node runs models on.
type Devices struct {
	Kind      string `koanf:"kind" help:"auto (NVIDIA GPUs, else the CPU), nvidia, cpu, simulated" example:"auto"`
	Simulated int    `koanf:"simulated" help:"number of simulated devices, for kind simulated" example:"4"`
	MemoryMB  int    `koanf:"memory-mb" help:"memory of each simulated device, or a cap on the CPU device's, MiB; 0: what the machine has" example:"24576"`
	Answers   int    `koanf:"answer-memory" help:"memory that kept answers of deployments with a cache may take at each device, bytes; 0: none is kept here" example:"1073741824"`
	FaultFile string `koanf:"fault-file" help:"JSON file, read every second, that makes simulated devices ill (kind simulated alone)" example:"/run/lotabots/faults.json"`
}

// Engines names the programs that this node may start. Only this file can:
// whoever may deploy a model must not thereby run commands.
type Engines struct {
	Helper        string          `koanf:"helper" help:"path of lotabots-engine; default: beside lotabots" example:"/usr/local/bin/lotabots-engine"`
	Libraries     string          `koanf:"libraries" help:"directory of llama.cpp's libraries; default: LOTABOTS_LLAMA_LIB, then the cache" example:"/usr/local/lib/llama"`
	Ollama        string          `koanf:"ollama" help:"path of ollama; default: looked up in PATH" example:"/usr/local/bin/ollama"`
	LlamaServer   string          `koanf:"llama-server" help:"path of llama-server; default: looked up in PATH" example:"/usr/local/bin/llama-server"`
	VLLM          string          `koanf:"vllm" help:"path of vllm; default: looked up in PATH" example:"/opt/vllm/bin/vllm"`
	SGLang        string          `koanf:"sglang" help:"path of sglang, or of a python that has it; default: sglang, looked up in PATH" example:"/opt/sglang/bin/sglang"`
	Triton        string          `koanf:"triton" help:"path of tritonserver; default: looked up in PATH" example:"/opt/tritonserver/bin/tritonserver"`
	Models        string          `koanf:"models" help:"directory of models that cannot be imported, such as those of several files, which deployments name by the option weights; Triton's repository; empty: none" example:"/srv/models"`
	Presets       []custom.Preset `koanf:"presets" help:"engines of this node's own, which deployments name; see OPERATIONS.md" example:"[{name: my-engine, command: [/opt/engine, --port, '{port}', --model, '{model}']}]"`
	User          string          `koanf:"user" help:"user that engines run as, by name, number or UID:GID, where the node is root; empty: the node's own" example:"1500:1500"`
	Linger        time.Duration   `koanf:"linger" help:"how long a loaded engine outlives the node's process, for the next one to take over without loading again; 0s: not at all" example:"2m"`
	ExternalRange []string        `koanf:"external-ranges" help:"address ranges beside the public ones in which hosts that external-urls names may be; an address in external-urls is allowed as it is" example:"[10.20.0.0/16]"`
	ExternalURL   []string        `koanf:"external-urls" reload:"yes" help:"URL prefixes that external engines may have; empty: none. An instance that runs keeps its own" example:"[http://10.0.0.9:8000/]"`
}

// Models says how this node keeps model files.
type Models struct {
	FetchRate  int           `koanf:"fetch-rate" reload:"yes" help:"bytes a second at which models come from other nodes and URLs, all together; 0: as fast as they can" example:"125000000"`
	Disk       int           `koanf:"disk" reload:"yes" help:"bytes that model files may take here: beyond, copies go that are not wanted here and that others have, least recently used first; 0: no limit" example:"500000000000"`
	Grace      time.Duration `koanf:"gc-grace" reload:"yes" help:"how long files stay that the cluster has removed, that came in part, or that were found damaged" example:"1h"`
	ScrubEvery time.Duration `koanf:"scrub-every" reload:"yes" help:"how often each model's files are read and held against their digests, one model at a time; 0s: never but when they are loaded" example:"168h"`
	VerifyRate int           `koanf:"verify-rate" reload:"yes" help:"bytes a second that such a check reads at most; 0: as fast as it can" example:"200000000"`
	PullURLs   []string      `koanf:"pull-urls" reload:"yes" help:"URL prefixes that models may be pulled from; empty: none" example:"[https://models.example.com/gguf/]"`
	PullRanges []string      `koanf:"pull-ranges" reload:"yes" help:"address ranges beside the public ones in which hosts that pull-urls names, and those they redirect to, may be; an address in pull-urls is allowed as it is" example:"[10.20.0.0/16]"`
}

// Placement says how patient the leader is, when this node is the leader.
type Placement struct {
	DeadGrace  time.Duration `koanf:"dead-grace" reload:"yes" help:"how long a dead node keeps its placements" example:"30s"`
	DrainGrace time.Duration `koanf:"drain-grace" reload:"yes" help:"how long a draining node keeps its placements" example:"10m"`
	SettleTime time.Duration `koanf:"settle-time" reload:"yes" help:"how long a node must have been well before instances that run well elsewhere are moved to it, to even out; 0s: none are" example:"10m"`
}

// Log says what is logged.
type Log struct {
	Level  string `koanf:"level" reload:"yes" help:"debug, info, warn or error" example:"info"`
	Format string `koanf:"format" help:"json or text" example:"json"`
}

// Telemetry says where traces go.
type Telemetry struct {
	OTLP   string  `koanf:"otlp" help:"OTLP/HTTP endpoint for traces; empty: none are recorded" example:"http://127.0.0.1:4318"`
	Sample float64 `koanf:"sample" reload:"yes" help:"share of traces recorded that no caller has decided about, 0 to 1" example:"0.1"`
}

// Backup says where this node keeps backups of the cluster's state, if it does.
type Backup struct {
	Dir       string        `koanf:"dir" help:"directory for scheduled backups of the cluster's state; empty: this node makes none" example:"/var/backups/lotabots"`
	Every     time.Duration `koanf:"every" help:"time from one scheduled backup to the next" example:"6h"`
	Keep      int           `koanf:"keep" help:"how many of this cluster's backups stay in the directory; older ones are removed" example:"14"`
	Recipient []string      `koanf:"recipient" help:"age public keys that scheduled backups are encrypted to; keep the private ones elsewhere" example:"[age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]"`
}

// Chaos is the owner's consent to faults.
type Chaos struct {
	Allow bool `koanf:"allow" reload:"yes" help:"whether a harness that is not this cluster's own may inject faults here" example:"false"`
}

// Default is the configuration of a node that nobody has configured.
func Default() Config {
	return Config{
		Node:      Node{Region: "local", Zone: "a", Roles: []string{"voter", "worker", "gateway"}, Data: "data"},
		Cluster:   Cluster{Listen: "127.0.0.1:7946", Rejoin: 15 * time.Second},
		API:       API{Listen: "127.0.0.1:8080", MaxBody: 32 << 20, MinRate: 4 << 10, QueueTimeout: 10 * time.Second, LoadTimeout: 5 * time.Minute, FirstToken: 60 * time.Second, NextToken: 30 * time.Second, Usage: "journal", ShutdownIn: 30 * time.Second},
		Devices:   Devices{Kind: "auto", Answers: 256 << 20},
		Engines:   Engines{Linger: 2 * time.Minute},
		Models:    Models{Grace: time.Hour},
		Placement: Placement{DeadGrace: 30 * time.Second, DrainGrace: 10 * time.Minute, SettleTime: 10 * time.Minute},
		Backup:    Backup{Every: 24 * time.Hour, Keep: 14},
		Log:       Log{Level: "info", Format: "json"},
		Telemetry: Telemetry{Sample: 1},
	}
}
