package tidy

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
)

// breach is one broken rule at one place.
type breach struct {
	file string
	line int
	what string
}

func (b breach) String() string { return fmt.Sprintf("%s:%d: %s", b.file, b.line, b.what) }

// inspector gathers breaches.
type inspector struct{ found []breach }

func (in *inspector) report(f *file, at token.Pos, format string, args ...any) {
	in.found = append(in.found, breach{f.name, f.line(at), fmt.Sprintf(format, args...)})
}

// check holds the packages against every rule.
func check(pkgs []pkg) []breach {
	in := &inspector{}
	for _, p := range pkgs {
		in.packageComment(p)
		for _, f := range p.files {
			in.floors(p.path, f)
			in.pure(p.path, f)
			in.shipped(p.path, f)
			in.bans(p.path, f)
			in.lengths(f)
			in.names(f)
			in.noInit(f)
			in.noLeftovers(f)
		}
	}
	return in.found
}

// packageComment: exactly one file says what the package is for. A package of
// tests alone says it in a test file.
func (in *inspector) packageComment(p pkg) {
	files := slices.DeleteFunc(slices.Clone(p.files), func(f *file) bool { return f.test })
	if len(files) == 0 {
		files = p.files
	}
	said := slices.DeleteFunc(slices.Clone(files), func(f *file) bool { return f.ast.Doc == nil })
	switch {
	case len(files) == 0 || len(said) == 1:
	case len(said) == 0:
		in.report(files[0], files[0].ast.Package, "package %s has no package comment", p.path)
	default:
		in.report(said[1], said[1].ast.Package, "package %s has more than one package comment (also in %s)", p.path, said[0].name)
	}
}

// floors: imports go only downward.
func (in *inspector) floors(pkgPath string, f *file) {
	if _, ok := placeOf(pkgPath); !ok {
		in.report(f, f.ast.Package, "package %s stands on no floor: give it a row in internal/tidy/floors.go", pkgPath)
		return
	}
	f.imports(func(_, target string, at token.Pos) {
		to, ours := strings.CutPrefix(target, module+"/")
		if !ours {
			return
		}
		if why := mayImport(pkgPath, to); why != "" {
			in.report(f, at, "%s imports %s: %s", pkgPath, to, why)
		}
	})
}

// pure: pure packages import a short list and start no goroutine.
func (in *inspector) pure(pkgPath string, f *file) {
	at, ok := placeOf(pkgPath)
	if !ok || floors[at.floor].pure == nil || f.test {
		return
	}
	allowed := floors[at.floor].pure
	f.imports(func(_, target string, pos token.Pos) {
		to, ours := strings.CutPrefix(target, module+"/")
		std := !strings.Contains(strings.Split(target, "/")[0], ".")
		switch {
		case ours && (slices.Contains(allowed, to) || under(to, at.house)):
		case std && slices.Contains(pureStd, target):
		default:
			in.report(f, pos, "%s imports %s: state is pure (no clock, goroutine, socket, file or random source)", pkgPath, target)
		}
	})
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if g, ok := n.(*ast.GoStmt); ok {
			in.report(f, g.Pos(), "%s starts a goroutine: state is pure", pkgPath)
		}
		return true
	})
}

// shipped: nothing that serves tests comes into the server.
func (in *inspector) shipped(pkgPath string, f *file) {
	if f.test || !shipped(pkgPath) {
		return
	}
	f.imports(func(_, target string, pos token.Pos) {
		to, ours := strings.CutPrefix(target, module+"/")
		if target == "testing" || strings.HasPrefix(target, "testing/") || ours && !shipped(to) {
			in.report(f, pos, "%s imports %s, which serves tests", pkgPath, target)
		}
	})
}

// names: a file says in its name what is in it, and an import keeps its name, by
// which the other rules find it.
func (in *inspector) names(f *file) {
	if vague.MatchString(path.Base(f.name)) {
		in.report(f, f.ast.Package, "the file's name says nothing: name it after what is in it")
	}
	f.imports(func(name, target string, at token.Pos) {
		if name == "." {
			in.report(f, at, "import of %s by a dot: nobody sees where a name comes from", target)
		}
	})
}

// bans: imports and calls that are forbidden in some place.
func (in *inspector) bans(pkgPath string, f *file) {
	for i := range bans {
		b := &bans[i]
		if !b.covers(pkgPath, path.Base(f.name), f.test) {
			continue
		}
		f.imports(func(name, target string, at token.Pos) {
			switch {
			case !b.about(target):
			case b.names == nil:
				in.report(f, at, "import of %s: %s", target, b.because)
			default:
				in.calls(f, name, b)
			}
		})
	}
}

// calls reports every mention of a banned function of the package imported
// under name, whether it is called or passed on.
func (in *inspector) calls(f *file, name string, b *ban) {
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok || !slices.Contains(b.names, sel.Sel.Name) {
			return true
		}
		if id, ok := sel.X.(*ast.Ident); ok && id.Name == name {
			in.report(f, sel.Pos(), "%s.%s: %s", b.path, sel.Sel.Name, b.because)
		}
		return true
	})
}

// lengths: what does not fit on a page or two is cut in parts.
func (in *inspector) lengths(f *file) {
	limit := maxFileLines
	if f.test {
		limit = maxTestFileLines
	}
	if n := f.length(); n > limit {
		in.report(f, f.ast.Package, "the file has %d lines; the limit is %d", n, limit)
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		name := "literal"
		switch n := n.(type) {
		case *ast.FuncDecl:
			name = n.Name.Name
		case *ast.FuncLit:
		default:
			return true
		}
		if long := f.line(n.End()) - f.line(n.Pos()) + 1; long > maxFuncLines {
			in.report(f, n.Pos(), "function %s has %d lines; the limit is %d", name, long, maxFuncLines)
		}
		return false // what is in it is shorter
	})
}

// noInit: nothing happens because a package was imported.
func (in *inspector) noInit(f *file) {
	for _, d := range f.ast.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			in.report(f, fn.Pos(), "func init: registration is explicit, in one table")
		}
	}
}

var leftover = regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)

// noLeftovers: work that is not done is an issue, not a comment.
func (in *inspector) noLeftovers(f *file) {
	if under(f.name, "internal/tidy") {
		return // it has to spell the words
	}
	for _, group := range f.ast.Comments {
		for _, c := range group.List {
			if w := leftover.FindString(c.Text); w != "" {
				in.report(f, c.Pos(), "%s in a comment: finish it or file it", w)
			}
		}
	}
}
