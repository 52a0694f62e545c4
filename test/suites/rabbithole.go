package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// rabbithole is the tests of the Go client of RabbitMQ's management API, which
// Terraform's provider stands on.
func rabbithole() suite {
	return suite{
		name: "rabbithole", about: "michaelklishin/rabbit-hole v3.2.0, the management API", needs: []tool{toolGo},
		run: func(e *env, _ []string) (results, error) {
			dir, err := e.goModule("github.com/michaelklishin/rabbit-hole/v3@v3.2.0")
			if err != nil {
				return nil, err
			}
			return e.serving(func(s *server) (results, error) {
				if err := readdress(dir, s); err != nil {
					return nil, err
				}
				if err := furnish(s); err != nil {
					return nil, err
				}
				return e.ginkgo(dir)
			})
		},
	}
}

// readdress gives the tests, which have RabbitMQ's usual ports in them, those of
// the server.
func readdress(dir string, s *server) error {
	_, api, err1 := net.SplitHostPort(s.http)
	_, port, err2 := net.SplitHostPort(s.amqp)
	files, err3 := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err1 != nil || err2 != nil || err3 != nil {
		return fmt.Errorf("find the ports and the tests: %v, %v, %v", err1, err2, err3)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("change the ports: %w", err)
		}
		text = usualAPI.ReplaceAll(text, []byte(api))
		text = usualAMQP.ReplaceAll(text, []byte(port))
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return fmt.Errorf("change the ports: %w", err)
		}
	}
	return nil
}

var (
	usualAPI  = regexp.MustCompile(`\b15672\b`)
	usualAMQP = regexp.MustCompile(`\b5672\b`)
)

// furnish makes what the tests' own script makes before them.
func furnish(s *server) error {
	const everything = `{"configure":".*","write":".*","read":".*"}`
	for _, put := range [][2]string{
		{"vhosts/rabbit%2Fhole", "{}"}, {"permissions/rabbit%2Fhole/guest", everything},
		{"users/policymaker", `{"password":"policymaker","tags":"policymaker"}`}, {"permissions/%2F/policymaker", everything},
	} {
		r, err := http.NewRequest("PUT", "http://"+s.http+"/api/"+put[0], strings.NewReader(put[1]))
		if err != nil {
			return fmt.Errorf("furnish the server: %w", err)
		}
		r.SetBasicAuth("guest", "guest")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return fmt.Errorf("furnish the server: %w", err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode/100 != 2 {
			return fmt.Errorf("furnish the server: PUT %s: %s", put[0], answer.Status)
		}
	}
	return nil
}

// ginkgo runs tests that are written for Ginkgo and returns their outcomes, by
// the texts that describe them, with _ for blanks.
func (e *env) ginkgo(dir string) (results, error) {
	report := filepath.Join(e.dir, "report.json")
	args := []string{"test", "-count=1", "-timeout=30m", ".", "-args", "-ginkgo.no-color", "-ginkgo.json-report=" + report}
	if e.match != "" {
		args = append(args, "-ginkgo.focus="+e.match)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, e.log, e.log
	cmd.Env = append(os.Environ(), "GOMEGA_DEFAULT_EVENTUALLY_TIMEOUT=10s")
	failed := cmd.Run() // that tests failed is in the report
	text, err := os.ReadFile(report)
	if err != nil {
		return nil, fmt.Errorf("go test in %s left no report (%v); its output is in %s", dir, failed, e.log.Name())
	}
	return ginkgoResults(text)
}

func ginkgoResults(report []byte) (results, error) {
	var suites []struct {
		SpecReports []struct {
			ContainerHierarchyTexts           []string
			LeafNodeType, LeafNodeText, State string
		}
	}
	if err := json.Unmarshal(report, &suites); err != nil {
		return nil, fmt.Errorf("read Ginkgo's report: %w", err)
	}
	r := results{}
	for _, s := range suites {
		for _, spec := range s.SpecReports {
			if spec.LeafNodeType != "It" {
				continue
			}
			name := strings.Join(append(spec.ContainerHierarchyTexts, spec.LeafNodeText), " > ")
			r[strings.ReplaceAll(name, " ", "_")] = ginkgoOutcomes[spec.State]
		}
	}
	if len(r) == 0 {
		return nil, fmt.Errorf("read Ginkgo's report: no test ran")
	}
	return r, nil
}

// ginkgoOutcomes are ours for Ginkgo's words.
var ginkgoOutcomes = map[string]outcome{
	"passed": pass, "skipped": skip, "pending": skip,
	"failed": fail, "panicked": fail, "aborted": fail, "interrupted": fail, "timedout": fail, "invalid": fail,
}
