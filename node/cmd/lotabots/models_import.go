package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lotabots/lotabots/node/client"
)

func modelsImportCommand(flags *client.Flags) *cobra.Command {
	name, leaveOut := "", []string(nil)
	c := &cobra.Command{
		Use:   "import FILE|DIR",
		Short: "Bring a GGUF file, a tar of a PEFT adapter, or a directory of safetensors or GGUF shards into the cluster; any node can load it afterwards",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := client.Find(*flags)
			if err != nil {
				return err
			}
			path, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			if name == "" {
				name = modelName(path, info.IsDir())
			}
			if info.IsDir() {
				return importFolder(c, api, name, path, leaveOut)
			}
			file, err := os.Open(path)
			if err != nil {
				return err
			}
			defer file.Close()
			return imported(c, api, "/admin/v1/models/"+segment(name), file, info.Size())
		},
	}
	c.Flags().StringVar(&name, "name", "", "name of the model; default: the file's, or the directory's")
	c.Flags().StringSliceVar(&leaveOut, "leave-out", nil, "patterns of files of a directory that are not the model's, such as *.bin; hidden files never are")
	return c
}

// modelName is what a model is called that nobody names.
func modelName(path string, dir bool) string {
	base := filepath.Base(path)
	if !dir {
		base = strings.TrimSuffix(base, filepath.Ext(base))
	}
	return strings.ToLower(base)
}

// imported sends a body of so many bytes, or about as many, and tells of the model.
func imported(c *cobra.Command, api *client.Client, path string, body io.Reader, total int64) error {
	bar := newBar(c.ErrOrStderr(), "importing", total)
	var m modelRow
	err := api.Do(c.Context(), "PUT", path, bar.reader(body), &m)
	bar.end()
	if err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "model %s: %s, sha256 %s\n", m.Name, size(m.Size), m.Digest)
	if m.Shape != nil {
		fmt.Fprintf(c.OutOrStdout(), "  %s\n", m.Shape)
	}
	return nil
}

// importFolder sends a directory as a tar, its files in the order of their names.
func importFolder(c *cobra.Command, api *client.Client, name, dir string, leaveOut []string) error {
	files, total, err := modelFiles(dir, leaveOut)
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		err := writeTar(c.Context(), w, dir, files)
		w.CloseWithError(err)
		sent <- err
	}()
	err = imported(c, api, "/admin/v1/models/"+segment(name)+"?form=folder", r, total)
	r.CloseWithError(errors.New("nobody takes more"))
	if local := <-sent; local != nil && err == nil {
		return local
	}
	return err
}

// pickles end the names of weights that run code when they are loaded, which the cluster refuses.
var pickles = []string{".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}

// modelFiles lists what of a directory is the model's, by their paths in it.
func modelFiles(dir string, leaveOut []string) (files []string, total int64, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(e.Name(), ".") && path != dir {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := os.Stat(path) // what a link leads to, as in a hub's cache
		if err != nil || info.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		for _, pattern := range leaveOut {
			for _, text := range []string{rel, filepath.Base(rel)} {
				if fits, err := filepath.Match(pattern, text); err != nil || fits {
					return err
				}
			}
		}
		if slices.Contains(pickles, strings.ToLower(filepath.Ext(rel))) {
			return fmt.Errorf("%s holds pickled weights, which run code when they are loaded: convert the model to safetensors or, where it has safetensors as well, use --leave-out '*%s'",
				rel, filepath.Ext(rel))
		}
		files, total = append(files, rel), total+info.Size()
		return nil
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s has no files", dir)
	}
	slices.Sort(files)
	return files, total, err
}

func writeTar(ctx context.Context, to io.Writer, dir string, files []string) error {
	w := tar.NewWriter(to)
	for _, name := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := tarFile(w, filepath.Join(dir, filepath.FromSlash(name)), name); err != nil {
			return err
		}
	}
	return w.Close()
}

func tarFile(w *tar.Writer, path, name string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: info.Size(), Mode: 0o644}); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}
