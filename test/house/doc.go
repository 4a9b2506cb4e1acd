// Package house tests what no package's own tests can see: papers, lists and tables that speak of the whole repository.
package house
