package router

import (
	"fmt"
	"strings"
)

// A Constraint is a demand on a replica's node, in the form that docker swarm
// has: an attribute, == or !=, and a value. The attributes are node.id,
// node.hostname and node.labels.KEY. As in swarm, values are compared without
// regard to case, and a label that a node lacks has the empty value.
type Constraint struct {
	Attribute string
	Not       bool
	Value     string
}

const labelPrefix = "node.labels."

// ParseConstraint reads a constraint such as "node.labels.disk==ssd" or
// "node.hostname != box3".
func ParseConstraint(s string) (Constraint, error) {
	for _, op := range []string{"==", "!="} {
		attribute, value, found := strings.Cut(s, op)
		if !found {
			continue
		}
		c := Constraint{strings.TrimSpace(attribute), op == "!=", strings.TrimSpace(value)}
		return c, c.validate()
	}
	return Constraint{}, fmt.Errorf("constraint %q: must be ATTRIBUTE==VALUE or ATTRIBUTE!=VALUE", s)
}

func (c Constraint) validate() error {
	switch {
	case c.Attribute == "node.id", c.Attribute == "node.hostname":
	case strings.HasPrefix(c.Attribute, labelPrefix) && len(c.Attribute) > len(labelPrefix):
	default:
		return fmt.Errorf("constraint on %q: must be on node.id, node.hostname or node.labels.KEY", c.Attribute)
	}
	if c.Value == "" || strings.ContainsAny(c.Value, "=!") {
		return fmt.Errorf("constraint on %s: %q is not a value", c.Attribute, c.Value)
	}
	return nil
}

// String returns the constraint as ParseConstraint reads it.
func (c Constraint) String() string {
	if c.Not {
		return c.Attribute + "!=" + c.Value
	}
	return c.Attribute + "==" + c.Value
}

// Holds tells whether the constraint holds of the node.
func (c Constraint) Holds(n *Node) bool {
	var value string
	switch c.Attribute {
	case "node.id":
		value = n.ID
	case "node.hostname":
		value = n.Hostname
	default:
		value = n.Labels[strings.TrimPrefix(c.Attribute, labelPrefix)]
	}
	return strings.EqualFold(value, c.Value) != c.Not
}
