package main

import (
	"encoding/xml"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// What the suites run with: the flaky tests of both ask to be run again, which
// no list should hide.
var pytestPackages = []string{"pytest==9.0.2", "pytest-timeout==2.4.0"}

// pyamqp is the integration tests of the client under kombu and Celery.
func pyamqp() suite {
	return suite{
		name: "pyamqp", about: "py-amqp 5.4.2", needs: []tool{toolPython},
		run: func(e *env, skipped []string) (results, error) {
			return e.pytest("amqp==5.4.2", "t/integration", skipped)
		},
	}
}

// kombu is the integration tests of Celery's messaging, those for RabbitMQ.
func kombu() suite {
	return suite{
		name: "kombu", about: "kombu 5.7.0", needs: []tool{toolPython},
		run: func(e *env, skipped []string) (results, error) {
			return e.pytest("kombu==5.7.0", "t/integration/test_py_amqp.py", skipped)
		},
	}
}

// pytest runs the tests under path of the source package of a client, against a
// fresh server, and returns their outcomes.
func (e *env) pytest(client, path string, skipped []string) (results, error) {
	python, source, err := e.pythonSource(client)
	if err != nil {
		return nil, err
	}
	return e.serving(func(s *server) (results, error) {
		host, port, err := net.SplitHostPort(s.amqp)
		if err != nil {
			return nil, fmt.Errorf("read the server's address: %w", err)
		}
		report := filepath.Join(e.dir, "report.xml")
		args := []string{"-m", "pytest", path, "--timeout=120", "--junitxml=" + report}
		for _, name := range skipped {
			args = append(args, "--deselect", deselect(path, name))
		}
		cmd := e.command(source, python, args...)
		cmd.Env = append(os.Environ(), "RABBITMQ_HOST="+host, "RABBITMQ_5672_TCP="+port)
		if _, err := e.output(cmd); err != nil {
			return nil, err
		}
		return readJUnit(report)
	})
}

// pythonSource installs a client with what its tests need, and returns that
// Python and the folder with the client's source package, tests included.
func (e *env) pythonSource(client string) (python, source string, err error) {
	name, _, _ := strings.Cut(client, "==")
	venv := filepath.Join(e.cache, "pytest-"+name)
	python = filepath.Join(venv, "bin", "python")
	err = once(venv+".done", func() error {
		for _, args := range [][]string{
			{"python3", "-m", "venv", venv},
			append([]string{python, "-m", "pip", "install", "-q", client}, pytestPackages...),
			{python, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", venv, client},
		} {
			if err := e.command(e.dir, args[0], args[1:]...).Run(); err != nil {
				return fmt.Errorf("install %s: %w", client, err)
			}
		}
		return nil
	})
	if err != nil {
		return "", "", err
	}
	archive := strings.Replace(client, "==", "-", 1)
	if err := e.command(e.dir, python, "-m", "tarfile", "-e", filepath.Join(venv, archive+".tar.gz"), e.dir).Run(); err != nil {
		return "", "", fmt.Errorf("unpack %s: %w", client, err)
	}
	return python, filepath.Join(e.dir, archive), nil
}

// deselect spells the name of a test, module.function or module.class.function,
// as pytest's --deselect wants it.
func deselect(path, name string) string {
	module, test, _ := strings.Cut(name, ".")
	if !strings.HasSuffix(path, ".py") {
		path += "/" + module + ".py"
	}
	function := strings.IndexByte(test+"[", '[') // what is in brackets may have dots
	return path + "::" + strings.ReplaceAll(test[:function], ".", "::") + test[function:]
}

// readJUnit reads a report of pytest. A test's name is its module, its class if
// it has one, and its function, with dots between them.
func readJUnit(path string) (results, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the report: %w", err)
	}
	var report struct {
		Cases []struct {
			Class   string    `xml:"classname,attr"`
			Name    string    `xml:"name,attr"`
			Failure *struct{} `xml:"failure"`
			Error   *struct{} `xml:"error"`
			Skipped *struct{} `xml:"skipped"`
		} `xml:"testsuite>testcase"`
	}
	if err := xml.Unmarshal(text, &report); err != nil {
		return nil, fmt.Errorf("read the report: %w", err)
	}
	r := results{}
	for _, c := range report.Cases {
		name := strings.TrimPrefix(c.Class, "t.integration.") + "." + c.Name
		switch {
		case c.Failure != nil, c.Error != nil:
			r[name] = fail
		case c.Skipped != nil && r[name] != fail:
			r[name] = skip
		case r[name] == "":
			r[name] = pass
		}
	}
	if len(r) == 0 {
		return nil, fmt.Errorf("the report %s is of no test", path)
	}
	return r, nil
}
