package config

import "slices"

// Variables lists the variables that the reference describes, in its order.
func Variables() []string {
	var all []string
	for _, v := range variables() {
		all = append(all, v.name)
	}
	return all
}

// SampleValues maps each variable to the reference's example.
func SampleValues() map[string]string {
	all := map[string]string{}
	for _, v := range variables() {
		all[v.name] = v.example
	}
	return all
}

// Tagged lists the variables that the fields of Config are tagged with, sorted.
func Tagged() []string {
	var all []string
	for name := range defaults() {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// ParseAPIKeys reads a file's content.
var ParseAPIKeys = parseAPIKeys

// ParseFingerprints reads a file's content.
var ParseFingerprints = parseFingerprints
