package topic

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Config is one setting of a topic, named and written as Kafka does.
type Config struct{ Name, Value string }

// ConfigOp says what a ConfigChange does.
type ConfigOp uint8

// The operations of Kafka's IncrementalAlterConfigs, with its numbers.
const (
	ConfigSet      ConfigOp = iota
	ConfigDelete            // back to the default
	ConfigAppend            // add to a list
	ConfigSubtract          // take from a list
)

// ConfigChange changes one setting.
type ConfigChange struct {
	Op          ConfigOp
	Name, Value string
}

// ConfigType is the type of a setting, with the numbers of Kafka's
// DescribeConfigs.
type ConfigType int8

// The types that topic settings have.
const (
	TypeBoolean ConfigType = 1
	TypeString  ConfigType = 2
	TypeInt     ConfigType = 3
	TypeLong    ConfigType = 5
	TypeDouble  ConfigType = 6
	TypeList    ConfigType = 7
)

// ConfigDef describes one of Kafka's topic settings.
type ConfigDef struct {
	Name    string
	Type    ConfigType
	Default string
	// Synonym is the broker setting that Kafka takes the default from
	// ("log.retention.ms"), "" if there is none.
	Synonym string
	// Honoured says whether Polylog acts on the setting; the others are
	// accepted, kept and reported.
	Honoured bool
	// Doc explains it in a sentence or two.
	Doc string

	min, max int64                    // bounds of TypeInt and TypeLong, both inclusive
	oneOf    []string                 // the values of TypeString, or the elements of TypeList, if limited
	refuse   func(value string) error // what else is refused, of a value in canonical form
}

// ConfigDefs iterates over all settings, sorted by name.
func ConfigDefs() iter.Seq[*ConfigDef] {
	return func(yield func(*ConfigDef) bool) {
		for i := range configDefs {
			if !yield(&configDefs[i]) {
				return
			}
		}
	}
}

// LookupConfig returns the setting of this name, nil if Kafka has none.
func LookupConfig(name string) *ConfigDef {
	i, ok := slices.BinarySearchFunc(configDefs, name, func(d ConfigDef, name string) int {
		return strings.Compare(d.Name, name)
	})
	if !ok {
		return nil
	}
	return &configDefs[i]
}

// Validate returns an error that wraps ErrInvalidConfig unless value is a
// value of this setting.
func (d *ConfigDef) Validate(value string) error {
	_, err := d.canonical(value)
	return err
}

// canonical returns value as it is kept: trimmed, and written in the one way
// that its type has. Kafka's parser is as lenient in what it takes.
func (d *ConfigDef) canonical(value string) (string, error) {
	if err := d.fits(value); err != nil {
		return "", err
	}
	v, err := d.parse(strings.TrimSpace(value))
	if err == nil && d.refuse != nil {
		err = d.refuse(v)
	}
	if err != nil {
		return "", fmt.Errorf("%w: invalid value %q for %s: %w", ErrInvalidConfig, value, d.Name, err)
	}
	return v, nil
}

func (d *ConfigDef) fits(value string) error {
	if len(value) > MaxConfigValueLen {
		return fmt.Errorf("%w: the value of %s is longer than %d bytes", ErrInvalidConfig, d.Name, MaxConfigValueLen)
	}
	return nil
}

func (d *ConfigDef) parse(v string) (string, error) {
	switch d.Type {
	case TypeBoolean:
		return parseBoolean(v)
	case TypeInt, TypeLong:
		return parseInteger(v, d.min, d.max)
	case TypeDouble:
		return parseRatio(v)
	case TypeList:
		return parseList(v, d.oneOf)
	default:
		if d.oneOf != nil && !slices.Contains(d.oneOf, v) {
			return "", fmt.Errorf("it must be one of %s", strings.Join(d.oneOf, ", "))
		}
		return v, nil
	}
}

func parseBoolean(v string) (string, error) {
	switch {
	case strings.EqualFold(v, "true"):
		return "true", nil
	case strings.EqualFold(v, "false"):
		return "false", nil
	}
	return "", fmt.Errorf("it must be true or false")
}

func parseInteger(v string, lowest, highest int64) (string, error) {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return "", fmt.Errorf("it is not a number of this type")
	}
	if n < lowest || n > highest {
		return "", fmt.Errorf("it must be between %d and %d", lowest, highest)
	}
	return strconv.FormatInt(n, 10), nil
}

// parseRatio takes a number between 0 and 1: the only kind of fraction there
// is.
func parseRatio(v string) (string, error) {
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > 1 {
		return "", fmt.Errorf("it must be a number between 0 and 1")
	}
	return strconv.FormatFloat(f, 'f', -1, 64), nil
}

// parseList takes elements separated by commas, each once (KIP-1161).
func parseList(v string, oneOf []string) (string, error) {
	list := splitList(v)
	for i, e := range list {
		if oneOf != nil && !slices.Contains(oneOf, e) {
			return "", fmt.Errorf("its elements must be of %s", strings.Join(oneOf, ", "))
		}
		if e == "" || slices.Contains(list[:i], e) {
			return "", fmt.Errorf("its elements must not be empty or repeated")
		}
	}
	return strings.Join(list, ","), nil
}

func splitList(v string) []string {
	if v == "" {
		return nil
	}
	list := strings.Split(v, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

// canonicalConfig returns config validated, in canonical form and sorted by
// name.
func canonicalConfig(config []Config) ([]Config, error) {
	if len(config) > MaxConfigs {
		return nil, fmt.Errorf("%w: more than %d settings", ErrInvalidConfig, MaxConfigs)
	}
	out := make([]Config, 0, len(config))
	for _, c := range config {
		d := LookupConfig(c.Name)
		if d == nil {
			return nil, unknownConfig(c.Name)
		}
		v, err := d.canonical(c.Value)
		if err != nil {
			return nil, err
		}
		i, found := findConfig(out, c.Name)
		if found {
			return nil, fmt.Errorf("%w: %s is given twice", ErrInvalidConfig, c.Name)
		}
		out = slices.Insert(out, i, Config{c.Name, v})
	}
	return out, nil
}

// alterConfig returns config, which is canonical, after the changes; it leaves
// config itself alone.
func alterConfig(config []Config, replace bool, changes []ConfigChange) ([]Config, error) {
	if len(changes) > MaxConfigs {
		return nil, fmt.Errorf("%w: more than %d changes", ErrInvalidConfig, MaxConfigs)
	}
	out := slices.Clone(config)
	if replace {
		out = nil
	}
	for i, ch := range changes {
		if slices.ContainsFunc(changes[:i], func(o ConfigChange) bool { return o.Name == ch.Name }) {
			return nil, fmt.Errorf("%w: %s is changed twice", ErrInvalidConfig, ch.Name)
		}
		var err error
		if out, err = changeConfig(out, ch); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func changeConfig(config []Config, ch ConfigChange) ([]Config, error) {
	d := LookupConfig(ch.Name)
	if d == nil {
		return nil, unknownConfig(ch.Name)
	}
	if err := d.fits(ch.Value); err != nil {
		return nil, err
	}
	i, found := findConfig(config, ch.Name)
	value := ch.Value
	switch ch.Op {
	case ConfigSet:
	case ConfigDelete:
		if found {
			config = slices.Delete(config, i, i+1)
		}
		return config, nil
	case ConfigAppend, ConfigSubtract:
		if d.Type != TypeList {
			return nil, fmt.Errorf("%w: %s is not a list, so nothing can be appended or subtracted", ErrInvalidConfig, ch.Name)
		}
		present := d.Default
		if found {
			present = config[i].Value
		}
		value = changeList(present, ch.Value, ch.Op == ConfigAppend)
	default:
		return nil, fmt.Errorf("%w: unknown operation %d on %s", ErrInvalidConfig, ch.Op, ch.Name)
	}
	v, err := d.canonical(value)
	if err != nil {
		return nil, err
	}
	if found {
		config[i].Value = v
		return config, nil
	}
	return slices.Insert(config, i, Config{ch.Name, v}), nil
}

// changeList adds the elements of delta that present lacks, or takes away
// those it has.
func changeList(present, delta string, add bool) string {
	list := splitList(present)
	for _, e := range splitList(delta) {
		switch i := slices.Index(list, e); {
		case add && i < 0:
			list = append(list, e)
		case !add && i >= 0:
			list = slices.Delete(list, i, i+1)
		}
	}
	return strings.Join(list, ",")
}

func findConfig(config []Config, name string) (int, bool) {
	return slices.BinarySearchFunc(config, name, func(c Config, name string) int {
		return strings.Compare(c.Name, name)
	})
}

func unknownConfig(name string) error {
	if len(name) > MaxConfigNameLen {
		name = name[:MaxConfigNameLen]
	}
	return fmt.Errorf("%w: unknown topic config name %q", ErrInvalidConfig, name)
}
