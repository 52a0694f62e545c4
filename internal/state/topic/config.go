package topic

import "iter"

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
}

// ConfigDefs iterates over all settings, sorted by name.
func ConfigDefs() iter.Seq[*ConfigDef] { panic("unfilled") }

// LookupConfig returns the setting of this name, nil if Kafka has none.
func LookupConfig(name string) *ConfigDef { panic("unfilled") }

// Validate returns an error that wraps ErrInvalidConfig unless value is a
// value of this setting.
func (d *ConfigDef) Validate(value string) error { panic("unfilled") }
