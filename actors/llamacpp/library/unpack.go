package library

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// unpackInto writes the libraries beside dir first and renames, so that dir is there whole or not.
func unpackInto(dir string, tarball []byte) error {
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("make the cache: %w", err)
	}
	fresh, err := os.MkdirTemp(parent, ".new-")
	if err != nil {
		return fmt.Errorf("make the cache: %w", err)
	}
	defer os.RemoveAll(fresh)
	if err := unpack(fresh, tarball); err != nil {
		return fmt.Errorf("unpack %s: %w", Package(), err)
	}
	for link, file := range pinned.links {
		if err := os.Symlink(file, filepath.Join(fresh, link)); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(fresh, "LICENSE.llama.cpp"), licence, 0o644); err != nil {
		return err
	}
	if err := errors.Join(missing(fresh), os.Chmod(fresh, 0o755)); err != nil {
		return fmt.Errorf("%s is not what it should be: %w", Package(), err)
	}
	// an incomplete folder, or one that another process has just installed
	if missing(dir) == nil {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Rename(fresh, dir); err != nil && missing(dir) != nil {
		return fmt.Errorf("move the libraries into the cache: %w", err)
	}
	return nil
}

func unpack(dir string, tarball []byte) error {
	zipped, err := gzip.NewReader(bytes.NewReader(tarball))
	if err != nil {
		return err
	}
	files := tar.NewReader(zipped)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name, ok := wanted(header.Name)
		if !ok || header.Typeflag != tar.TypeReg {
			continue
		}
		if err := writeFile(filepath.Join(dir, name), io.LimitReader(files, maxTarball)); err != nil {
			return err
		}
	}
}

// wanted picks the libraries and the package's licence; path.Base keeps every name inside the folder.
func wanted(entry string) (string, bool) {
	name := path.Base(entry)
	if entry == "package/LICENSE" {
		return "LICENSE.package", true
	}
	library := strings.HasPrefix(name, "libggml") || strings.HasPrefix(name, "libllama.")
	return name, library && strings.HasPrefix(entry, pinned.folder) && strings.HasSuffix(name, ".so")
}

func writeFile(name string, from io.Reader) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}
