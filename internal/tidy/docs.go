package tidy

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

var (
	// link is the target of a link in a page, with what stands behind "#".
	link = regexp.MustCompile(`\]\(([^)\s#]*)(?:#([^)\s]*))?\)`)
	// fence is code in a page, where brackets are no links.
	fence = regexp.MustCompile("(?s)```.*?```")
	// heading is a headline, and noise what it loses to become an anchor.
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	noise   = regexp.MustCompile(`[^\pL\pN _-]`)
	// cited is a page that a comment names.
	cited = regexp.MustCompile(`\bdocs/[a-z0-9/_-]+\.md\b`)
)

// deadLinks returns the links between the pages of a repository that lead to no
// file or no headline. Links to elsewhere are not followed.
func deadLinks(repo fs.FS) (dead []breach, err error) {
	err = fs.WalkDir(repo, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules"):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".md":
			return nil
		}
		text, err := fs.ReadFile(repo, name)
		if err != nil {
			return fmt.Errorf("reading a page: %w", err)
		}
		for i, line := range strings.Split(withoutCode(string(text)), "\n") {
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				if why := followed(repo, name, m[1], m[2]); why != "" {
					dead = append(dead, breach{name, i + 1, why})
				}
			}
		}
		return nil
	})
	return dead, err
}

// withoutCode empties the blocks of code, and keeps the count of lines.
func withoutCode(text string) string {
	return fence.ReplaceAllStringFunc(text, func(code string) string { return strings.Repeat("\n", strings.Count(code, "\n")) })
}

// followed says why a link of a page leads nowhere, "" if it does not.
func followed(repo fs.FS, from, target, anchor string) string {
	if strings.Contains(target, ":") {
		return ""
	}
	to := from
	if target != "" {
		to = path.Join(path.Dir(from), target)
	}
	if _, err := fs.Stat(repo, to); errors.Is(err, fs.ErrNotExist) {
		return "a link to " + to + ", which does not exist"
	}
	if anchor == "" || path.Ext(to) != ".md" {
		return ""
	}
	page, err := fs.ReadFile(repo, to)
	if err != nil {
		return err.Error()
	}
	for _, m := range heading.FindAllStringSubmatch(withoutCode(string(page)), -1) {
		if strings.ReplaceAll(noise.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-") == anchor {
			return ""
		}
	}
	return "a link to #" + anchor + " of " + to + ", which has no such headline"
}

// uncited returns the pages that comments name and that do not exist.
func uncited(repo fs.FS, pkgs []pkg) (dead []breach) {
	for _, p := range pkgs {
		for _, f := range p.files {
			for _, group := range f.ast.Comments {
				for _, page := range cited.FindAllString(group.Text(), -1) {
					if _, err := fs.Stat(repo, page); err != nil {
						dead = append(dead, breach{f.name, f.line(group.Pos()), "a comment names " + page + ", which does not exist"})
					}
				}
			}
		}
	}
	return dead
}
