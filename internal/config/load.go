package config

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// Loaded is the effective configuration and how it came about.
type Loaded struct {
	Config
	// Warnings are things that look like mistakes but may come from elsewhere:
	// variables that begin with POLYLOG_ and set nothing.
	Warnings []string

	origins map[string]string
}

// Value is one effective setting.
type Value struct {
	Key    string
	Value  any
	Origin string // "default", "file polylog.yaml", "env POLYLOG_…", "flag --…"
	Doc    string
}

// Values lists every setting in the table's order.
func (l *Loaded) Values() []Value {
	vs := make([]Value, 0, len(settings))
	for _, s := range settings {
		origin := l.origins[s.key]
		if origin == "" {
			origin = "default"
		}
		vs = append(vs, Value{s.key, load(s.field(&l.Config)), origin, s.doc})
	}
	return vs
}

// Load gathers the settings: defaults, then the file (--config or
// POLYLOG_CONFIG), then environ ("NAME=value"), then the flags that were given.
// The error joins everything that is wrong, each with its place and, for an
// unknown name, the one that was probably meant.
func Load(flags *pflag.FlagSet, environ []string) (*Loaded, error) {
	l := &Loaded{Config: Default(), origins: map[string]string{}}
	var errs []error
	if path := filePath(flags, environ); path != "" {
		errs = append(errs, l.fromFile(path))
	}
	errs = append(errs, l.fromEnv(environ), l.fromFlags(flags))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	return l, nil
}

// filePath returns the file that the flag or else the environment names.
func filePath(flags *pflag.FlagSet, environ []string) string {
	if f := flags.Lookup(flagFile); f != nil && f.Value.String() != "" {
		return f.Value.String()
	}
	for _, kv := range environ {
		if path, ok := strings.CutPrefix(kv, envFile+"="); ok {
			return path
		}
	}
	return ""
}

func (l *Loaded) fromFile(path string) error {
	err := l.layer(file.Provider(path), yaml.Parser(), func(string) string { return "file " + path })
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: no such file; --%s and %s name the configuration file", path, flagFile, envFile)
	}
	return err
}

func (l *Loaded) fromEnv(environ []string) error {
	provider := env.Provider(".", env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			key := keyBy(envName, name)
			if near := nearest(name, envName); key == "" && name != envFile && near != "" {
				l.Warnings = append(l.Warnings, fmt.Sprintf("the variable %s sets nothing; did you mean %s?", name, near))
			}
			return key, value
		},
	})
	return l.layer(provider, nil, func(key string) string { return "env " + envName(key) })
}

func (l *Loaded) fromFlags(flags *pflag.FlagSet) error {
	provider := posflag.ProviderWithFlag(flags, ".", nil, func(f *pflag.Flag) (string, any) {
		return keyBy(flagName, f.Name), f.Value.String()
	})
	return l.layer(provider, nil, func(key string) string { return "flag --" + flagName(key) })
}

// layer sets everything that one source names.
func (l *Loaded) layer(from koanf.Provider, parser koanf.Parser, origin func(key string) string) error {
	k := koanf.New(".")
	if err := k.Load(from, parser); err != nil {
		return fmt.Errorf("%s: %w", origin(""), err)
	}
	var errs []error
	for _, key := range k.Keys() { // sorted
		errs = append(errs, l.set(key, k.Get(key), origin(key)))
	}
	return errors.Join(errs...)
}

// set gives one setting a value.
func (l *Loaded) set(key string, value any, origin string) error {
	s := find(key)
	switch {
	case s == nil:
		hint := ""
		if near := nearest(key, asKey); near != "" {
			hint = fmt.Sprintf("; did you mean %s?", near)
		}
		return fmt.Errorf("%s: there is no setting %s%s", origin, key, hint)
	case value == nil:
		return fmt.Errorf("%s: %s has no value; write \"\" for an empty one", origin, key)
	}
	field := s.field(&l.Config)
	err := store(field, value)
	if err == nil && s.check != nil {
		err = s.check(load(field))
	}
	if err != nil {
		return fmt.Errorf("%s: %s: %w", origin, key, err)
	}
	l.origins[key] = origin
	return nil
}

// check judges settings that depend on each other.
func (l *Loaded) check() error {
	var errs []error
	// AMQP is not among them: who connects gives a user's name and password.
	for _, s := range []struct {
		key, address string
		guarded      bool
	}{
		{"kafka.listen", l.Kafka.Listen, false},
		{"kafka.tls-listen", l.Kafka.TLS.Listen, l.Kafka.TLS.ClientCA != ""},
		{"http.listen", l.HTTP.Listen, false},
		{"http.tls-listen", l.HTTP.TLS.Listen, l.HTTP.TLS.ClientCA != ""},
	} {
		if !s.guarded && s.address != "" && !loopback(s.address) && !l.Insecure {
			errs = append(errs, fmt.Errorf(
				"%s: %s can be reached from other machines and has no authentication; bind 127.0.0.1, have clients show certificates (%s.tls-listen, %[3]s.tls-client-ca), or say --insecure if the network is trusted",
				s.key, s.address, protocolOf(s.key)))
		}
	}
	for _, s := range []struct {
		protocol string
		TLS
	}{{"kafka", l.Kafka.TLS}, {"amqp", l.AMQP.TLS}, {"http", l.HTTP.TLS}} {
		errs = append(errs, s.TLS.check(s.protocol))
	}
	if l.Kafka.TLS.Listen == "" {
		errs = append(errs, idle("kafka", "tls-advertise", l.Kafka.TLSAdvertise))
	}
	if l.AMQP.LoginFrom != "none" && l.AMQP.TLS.ClientCA == "" {
		errs = append(errs, errors.New("amqp.tls-login-from: nobody can log in with a certificate that none are asked for; name the authorities with --amqp-tls-client-ca"))
	}
	if l.Disk.WarnFree > 0 && l.Disk.RefuseFree > l.Disk.WarnFree {
		errs = append(errs, fmt.Errorf("disk.refuse-free: %s is more than disk.warn-free (%s): the warning would come too late",
			l.Disk.RefuseFree, l.Disk.WarnFree))
	}
	return errors.Join(errs...)
}

// check refuses a listener with TLS that lacks a file, and files of one that is
// switched off: who gave them believes that clients are encrypted.
func (t *TLS) check(protocol string) error {
	if t.Listen == "" {
		return errors.Join(idle(protocol, "tls-cert", t.Cert), idle(protocol, "tls-key", t.Key), idle(protocol, "tls-client-ca", t.ClientCA))
	}
	return errors.Join(needed(protocol, "tls-cert", t.Cert), needed(protocol, "tls-key", t.Key))
}

// needed says that a setting of a listener with TLS has no value.
func needed(protocol, name, value string) error {
	if value != "" {
		return nil
	}
	return fmt.Errorf("%s.%s: a listener with TLS needs it; name the file with --%[1]s-%[2]s", protocol, name)
}

// idle says that a setting has a value, but the listener it is for no address.
func idle(protocol, name, value string) error {
	if value == "" {
		return nil
	}
	return fmt.Errorf("%s.%s: %[1]s listens with TLS nowhere; give it an address with --%[1]s-tls-listen", protocol, name)
}

// protocolOf returns the part of a key before the first dot.
func protocolOf(key string) string {
	protocol, _, _ := strings.Cut(key, ".")
	return protocol
}
