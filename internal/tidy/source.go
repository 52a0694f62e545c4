package tidy

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// pkg is a package as the rules see it.
type pkg struct {
	path  string // relative to the repository: "internal/store/wal"
	files []*file
}

// file is one parsed Go file.
type file struct {
	name string // relative to the repository
	test bool
	fset *token.FileSet
	ast  *ast.File
}

// listed is the part of "go list -json" that matters here.
type listed struct {
	Dir            string
	GoFiles        []string
	IgnoredGoFiles []string
	TestGoFiles    []string
	XTestGoFiles   []string
}

// load lists and parses the packages of the module in root/sub ("" for the
// main module). It needs no dependency to be downloaded.
func load(root, sub string) ([]pkg, error) {
	cmd := exec.Command("go", "list", "-find", "-json=Dir,GoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles", "./...")
	cmd.Dir = filepath.Join(root, sub)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing the packages of %s: %w", cmd.Dir, err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var l listed
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			return pkgs, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading the package list: %w", err)
		}
		p, err := l.parse(root)
		if err != nil {
			return nil, err
		}
		pkgs = append(pkgs, p)
	}
}

func (l *listed) parse(root string) (pkg, error) {
	rel, err := filepath.Rel(root, l.Dir)
	if err != nil {
		return pkg{}, fmt.Errorf("placing %s: %w", l.Dir, err)
	}
	p := pkg{path: filepath.ToSlash(rel)}
	for _, names := range [][]string{l.GoFiles, l.IgnoredGoFiles, l.TestGoFiles, l.XTestGoFiles} {
		for _, n := range names {
			src, err := os.ReadFile(filepath.Join(l.Dir, n))
			if err != nil {
				return pkg{}, fmt.Errorf("reading a source file: %w", err)
			}
			f, err := parse(path.Join(p.path, n), src)
			if err != nil {
				return pkg{}, err
			}
			p.files = append(p.files, f)
		}
	}
	return p, nil
}

func parse(name string, src []byte) (*file, error) {
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, name, src, parser.ParseComments)
	if err != nil {
		return nil, fmt.Errorf("parsing: %w", err)
	}
	return &file{name: name, test: strings.HasSuffix(name, "_test.go"), fset: fset, ast: tree}, nil
}

// line returns the line of a position in the file.
func (f *file) line(p token.Pos) int { return f.fset.Position(p).Line }

// length returns the number of lines of the file.
func (f *file) length() int { return f.fset.File(f.ast.FileStart).LineCount() }

// imports calls visit with every import and the name it goes by in the file.
func (f *file) imports(visit func(name, target string, at token.Pos)) {
	for _, spec := range f.ast.Imports {
		target, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has accepted it, so it cannot happen
		}
		name := path.Base(target)
		if rest, ok := strings.CutPrefix(name, "v"); ok && rest != "" && strings.Trim(rest, "0123456789") == "" {
			name = path.Base(path.Dir(target)) // math/rand/v2 is named rand
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		visit(name, target, spec.Pos())
	}
}
