package main

import (
	"bufio"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The versions of the frameworks.
const springVersion = "3.5.6"

var nestPackages = []string{
	"@nestjs/common@12.5.1", "@nestjs/core@12.5.1", "@nestjs/microservices@12.1.1", "amqp-connection-manager@5.0.0", "amqplib@2.3.1",
	"reflect-metadata@0.2.2", "rxjs@7.8.2", "typescript@7.0.2",
}

//go:embed frameworks/nest.ts
var nestApp string

//go:embed frameworks/Spring.java
var springApp string

const nestPackage = `{"private": true, "type": "module"}`

const nestConfig = `{"compilerOptions": {
  "target": "es2022", "module": "nodenext", "experimentalDecorators": true, "emitDecoratorMetadata": true, "noCheck": true, "types": []
}}`

// nestjs is a NestJS application, over a server that is killed.
func nestjs() suite {
	return suite{
		name: "nestjs", about: "a NestJS application: calls, events, acks, dead letters, a killed server", needs: []tool{toolNode, toolNPM},
		run: func(e *env, _ []string) (results, error) {
			dir := filepath.Join(e.cache, "nestjs")
			err := once(filepath.Join(e.cache, "nestjs.done"), func() error {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return fmt.Errorf("install NestJS: %w", err)
				}
				if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(nestPackage), 0o644); err != nil {
					return fmt.Errorf("install NestJS: %w", err)
				}
				args := append([]string{"install", "--silent", "--prefix", dir}, nestPackages...)
				if err := e.command(dir, "npm", args...).Run(); err != nil {
					return fmt.Errorf("install NestJS: %w", err)
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
			for name, text := range map[string]string{"nest.ts": nestApp, "tsconfig.json": nestConfig} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					return nil, fmt.Errorf("write %s: %w", name, err)
				}
			}
			if err := e.command(dir, "node", filepath.Join("node_modules", "typescript", "bin", "tsc"), "-p", dir).Run(); err != nil {
				return nil, fmt.Errorf("compile the NestJS application: %w", err)
			}
			return e.application(dir, "node", "nest.js")
		},
	}
}

// spring is a Spring Boot application, over a server that is killed.
func spring() suite {
	return suite{
		name:  "spring",
		about: "a Spring Boot " + springVersion + " application: calls, confirms, retries, dead letters, a killed server",
		needs: []tool{toolJava, toolJavac, toolMaven},
		run: func(e *env, _ []string) (results, error) {
			name := "spring-" + springVersion
			dir := filepath.Join(e.cache, name)
			lib := filepath.Join(dir, "lib")
			err := once(filepath.Join(e.cache, name+".done"), func() error {
				return e.fetchJars(dir, fmt.Sprintf(springPOM, springVersion))
			})
			if err != nil {
				return nil, err
			}
			if err := e.compile(lib, "Spring", springApp); err != nil {
				return nil, err
			}
			path := filepath.Join(lib, "*") + string(os.PathListSeparator) + e.dir
			return e.application(e.dir, "java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", path, "Spring")
		},
	}
}

// springPOM asks for Spring Boot's starter, with all versions as Spring Boot has
// them.
const springPOM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>suites</groupId><artifactId>spring</artifactId><version>1</version>
  <dependencyManagement><dependencies><dependency>
    <groupId>org.springframework.boot</groupId><artifactId>spring-boot-dependencies</artifactId><version>%s</version>
    <type>pom</type><scope>import</scope>
  </dependency></dependencies></dependencyManagement>
  <dependencies>
    <dependency><groupId>org.springframework.boot</groupId><artifactId>spring-boot-starter-amqp</artifactId></dependency>
  </dependencies>
</project>
`

// application runs a program in dir against a fresh server, whose address is its
// last argument, and reads what it says of its tests. When it says "kill" the
// server is killed and started again in its place, and the program told with an
// empty line.
func (e *env) application(dir, program string, args ...string) (results, error) {
	s, err := e.start()
	if err != nil {
		return nil, err
	}
	r, s, err := e.converse(s, e.command(dir, program, append(args, s.amqp)...))
	if s == nil {
		return nil, err
	}
	if stopped := s.stop(); err == nil {
		err = stopped
	}
	return r, err
}

// converse returns the server that runs last, nil if there is none.
func (e *env) converse(s *server, cmd *exec.Cmd) (results, *server, error) {
	cmd.Stdout = nil
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, s, fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, s, fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	defer func() {
		_ = cmd.Process.Kill() // it has ended, unless something is wrong
		_ = cmd.Wait()         // what it said of its tests tells
	}()
	var said strings.Builder
	lines := bufio.NewScanner(io.TeeReader(out, e.log))
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if lines.Text() != "kill" {
			continue
		}
		_ = s.cmd.Process.Kill() // it may have ended
		<-s.ended
		address := s.amqp
		if s, err = e.start("--amqp-listen", address); err != nil {
			return nil, nil, fmt.Errorf("after the server was killed: %w", err)
		}
		if _, err := io.WriteString(in, "\n"); err != nil {
			return nil, s, fmt.Errorf("tell the program that the server is back: %w", err)
		}
	}
	r := parseLines(said.String())
	if len(r) == 0 {
		return nil, s, fmt.Errorf("the program said nothing of its tests; its output is in %s", e.log.Name())
	}
	return r, s, nil
}
