package actors

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

const (
	dialTimeout = 3 * time.Second
	maxMessage  = 16 << 20 // of a batch
	batchSize   = 128
	queueSize   = 1024 // initial, per peer
)

// Names under which protoactor's remote spawns its own actors.
const (
	remoteSupervisor = "EndpointSupervisor"
	remoteActivator  = "activator"
)

// A link joins the actor system to those of other nodes.
type link struct {
	system   *actor.ActorSystem
	remote   *remote.Remote
	out      *dialled
	loopback string // where the library listens
}

// startLink has the library listen on loopback, for the cluster port to hand
// connections to, and dial other nodes' cluster ports.
func startLink(c *Config, system *actor.ActorSystem, g *guard, b *book) (*link, error) {
	out := newDialled(c.Dial)
	options := remote.Configure("127.0.0.1", 0,
		remote.WithAdvertisedHost(c.Address),
		remote.WithEndpointWriterBatchSize(batchSize), remote.WithEndpointWriterQueueSize(queueSize),
		remote.WithServerOptions(
			grpc.Creds(credentials.NewTLS(c.ServerTLS)), grpc.StreamInterceptor(g.stream), grpc.UnaryInterceptor(g.unary),
			grpc.MaxRecvMsgSize(maxMessage), grpc.MaxConcurrentStreams(8), grpc.ConnectionTimeout(dialTimeout),
			grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		),
		remote.WithDialOptions(
			grpc.WithTransportCredentials(memberCredentials{config: c.ClientTLS, book: b}),
			grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
				if _, ok := b.expected(address); !ok {
					return nil, fmt.Errorf("no member is known at %s", address)
				}
				ctx, cancel := context.WithTimeout(ctx, dialTimeout)
				defer cancel()
				return out.connect(ctx, address)
			}),
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: dialTimeout}),
			grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 3 * time.Second, PermitWithoutStream: true}),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
			grpc.WithDisableServiceConfig(),
		),
	)
	options.MaxRetryCount = 1 // each waits two seconds
	l := &link{system: system, remote: remote.NewRemote(system, options), out: out}
	return l, l.listen(options)
}

// listen starts the remote. It opens its own listener and does not tell the port,
// so a free one is chosen first; another process may take it in between.
func (l *link) listen(options *remote.Config) error {
	var last error
	for range 10 {
		port, err := freePort()
		if err != nil {
			return err
		}
		options.Port = port
		if last = started(l.remote); last == nil {
			l.loopback = options.Address()
			return nil
		}
		if !errors.Is(last, errTaken) {
			return last
		}
	}
	return last
}

var errTaken = errors.New("the port was taken meanwhile")

// started starts r, which panics where it cannot.
func started(r *remote.Remote) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("starting the actors' remote: %v", p)
			if strings.Contains(err.Error(), "failed to listen") {
				err = fmt.Errorf("%w: %w", errTaken, err)
			}
		}
	}()
	r.Start()
	return nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// drop forgets what is at the address: the next message there dials anew.
func (l *link) drop(address string) {
	l.out.cut(address)
	l.system.EventStream.Publish(&remote.EndpointTerminatedEvent{Address: address})
}

// stop ends every connection. The library's own shutdown leaves those that it
// dialled open, or waits for ten seconds. No actor may send to another node any
// more; endpoints are not dropped one by one before, since one that is connecting
// would be made anew under a supervisor that stops.
func (l *link) stop(ctx context.Context) error {
	l.out.close()
	l.remote.Shutdown(false)
	err := stopActor(ctx, l.system, l.system.NewLocalPID(remoteSupervisor))
	return errors.Join(err, stopActor(ctx, l.system, l.system.NewLocalPID(remoteActivator)))
}
