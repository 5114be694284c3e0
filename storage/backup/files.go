package backup

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec/whole"
)

// Extension ends the names of backups.
const Extension = ".lbk"

const unfinished = ".part"

// Name is the file name of a backup: names of one cluster sort by time.
func Name(m Manifest) string {
	return fmt.Sprintf("lotabots-%s-%s-%d%s", m.Cluster, m.Time.UTC().Format("20060102T150405.000Z"), m.Index, Extension)
}

// Create writes a new file at path, mode 0600: fill gives its content, and where
// it fails nothing is left. The file is on disk when Create returns. A file that
// is there already is an error.
func Create(path string, fill func(w io.Writer) error) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s: %w", path, fs.ErrExist)
	}
	file, err := os.OpenFile(path+unfinished, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = file.Chmod(0o600) // what a cut-off attempt left may have another mode
	if err == nil {
		err = fill(file)
	}
	if err != nil {
		return errors.Join(err, file.Close(), os.Remove(file.Name()))
	}
	return whole.Place(file, path)
}

// A File is a backup in a directory.
type File struct {
	Path     string
	Size     int64
	Manifest Manifest // as the first line says it, which nothing vouches for
	Err      error    // why the line cannot be read; the Manifest is empty then
}

// List returns the backups of a directory, the newest first, damaged ones last.
func List(dir string) ([]File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []File
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), Extension) {
			continue
		}
		f := File{Path: filepath.Join(dir, e.Name())}
		f.Manifest, f.Size, f.Err = look(f.Path)
		if errors.Is(f.Err, fs.ErrNotExist) {
			continue // it was pruned meanwhile
		}
		out = append(out, f)
	}
	slices.SortStableFunc(out, func(a, b File) int {
		return cmp.Or(b.Manifest.Time.Compare(a.Manifest.Time), cmp.Compare(b.Manifest.Index, a.Manifest.Index))
	})
	return out, nil
}

// PassedOver returns the names of the files in a directory that List takes for no
// backups, whatever they hold, in order.
func PassedOver(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if !e.IsDir() && !strings.HasSuffix(e.Name(), Extension) {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

func look(path string) (Manifest, int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return Manifest{}, 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Manifest{}, 0, err
	}
	m, err := ReadManifest(&counted{r: file})
	return m, info.Size(), err
}

// Prune removes the oldest backups of the cluster from a directory until keep
// remain, and what unfinished ones of it have left. It touches nothing else: no
// other cluster's, and none whose first line is damaged.
func Prune(dir, cluster string, keep int) (removed []string, err error) {
	all, err := List(dir)
	if err != nil {
		return nil, err
	}
	prefix := "lotabots-" + cluster + "-"
	for _, f := range all {
		if f.Err != nil || f.Manifest.Cluster != cluster || filepath.Base(f.Path) != Name(f.Manifest) {
			continue
		}
		if keep--; keep >= 0 {
			continue
		}
		if err := os.Remove(f.Path); err != nil {
			return removed, err
		}
		removed = append(removed, f.Path)
	}
	left, err := filepath.Glob(filepath.Join(dir, prefix+"*"+Extension+unfinished))
	if err != nil {
		return removed, err
	}
	for _, path := range left {
		if err := os.Remove(path); err != nil {
			return removed, err
		}
	}
	return removed, nil
}
