package config

import "strings"

// nearest returns the spelling of the setting that a mistyped name probably
// meant, "" if none is near.
func nearest(name string, spell spelling) string {
	known := make([]string, len(settings))
	for i, s := range settings {
		known[i] = spell(s.key)
	}
	return Nearest(name, known)
}

// Nearest returns the known name that a mistyped one probably meant, "" if none
// is near: at most a third of its letters may be wrong.
func Nearest(name string, known []string) string {
	best, bestDistance := "", len(name)/3+1
	for _, k := range known {
		d := distance(strings.ToLower(name), strings.ToLower(k))
		if strings.HasSuffix(k, "."+name) { // the section was forgotten
			d = 1
		}
		if d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance counts the single-letter edits between two words, of which an
// exchange of neighbours is one (Damerau and Levenshtein, restricted).
func distance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, above, row := rows[(i+1)%3], rows[(i-1)%3], rows[i%3]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return rows[len(a)%3][len(b)]
}
