package main

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/actors/llamacpp"
	"github.com/lotabots/lotabots/actors/llamacpp/library"
)

func serveCommand() *cobra.Command {
	var config llamacpp.Config
	var socket, libraries string
	var withParent, measure bool
	var grace time.Duration
	c := &cobra.Command{
		Use: "serve --socket PATH --model FILE", Short: "Serve one model in OpenAI's shape on a Unix socket", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			config.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
			if withParent {
				go exitWithParent(socket)
			}
			dir, err := library.Find(libraries)
			if err != nil {
				return err
			}
			config.Libraries = dir
			if measure {
				config.Measure = measurer(config.Model, dir)
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			return llamacpp.Run(ctx, socket, config, grace)
		},
	}
	f := c.Flags()
	f.StringVar(&socket, "socket", "", "path of the Unix socket")
	f.StringVar(&config.Model, "model", "", "path of the GGUF")
	f.StringVar(&config.Name, "name", "", "model name in answers to requests without one; default: the file's")
	f.IntVar(&config.Context, "context", 0, "tokens per request; 0: the model's, at most 8192")
	f.IntVar(&config.Slots, "slots", 0, "requests at a time; 0: 4")
	f.IntVar(&config.CacheMiB, "cache-ram", 0, "MiB of memory for conversations that have lost their slot; 0: 256, -1: none")
	f.IntVar(&config.Threads, "threads", 0, "threads; 0: as measured, else the cores, or 1 for a tiny model; never more than the cores")
	f.StringVar(&config.Variant, "variant", "", "of the libraries for the CPU, such as haswell; default: as measured, else llama.cpp's choice")
	f.BoolVar(&measure, "measure", true, "at a first start, measure which variant and how many threads are fastest, and keep it")
	f.StringVar(&config.Device, "device", "cpu", "cpu, or the number of a GPU, or those of several with commas")
	f.StringVar(&config.ChatTemplate, "chat-template", "", "name of one of llama.cpp's chat templates, such as chatml; default: the model's")
	f.StringVar(&config.Embeddings, "embeddings", "auto", "auto (from the first request on), on or off")
	f.StringVar(&config.Pooling, "pooling", "", "of embeddings: mean, cls, last or rank; default: the model's, or mean")
	f.StringVar(&libraries, "libraries", "", "directory of llama.cpp's libraries; default: "+library.EnvDir+", then the cache")
	f.BoolVar(&withParent, "exit-with-parent", false, "exit when stdin ends")
	f.DurationVar(&grace, "grace", 10*time.Second, "how long running requests may take to finish after SIGTERM")
	for _, name := range []string{"socket", "model"} {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err)
		}
	}
	return c
}

// exitWithParent leaves at once when the parent is gone: nobody reads the answers any more.
func exitWithParent(socket string) {
	llamacpp.WaitForEOF(os.Stdin)
	_ = os.Remove(socket)
	os.Exit(0)
}
