// Package antpath has the Ant path patterns of Spring's AntPathMatcher
// (org.springframework.util), in which its front-ends and controllers name destinations.
//
// A path is segments with a separator between them, mostly "/". Empty segments do not
// count, but a separator at the front or at the end of a path has to be in the pattern, too.
// In a segment
//
//	?                  is one character
//	*                  is any number of characters
//	{name}             is the same, and the value of a variable
//	{name:expression}  is what a regular expression matches, and the value of a variable
//
// and the segment ** is any number of segments. Regular expressions are Go's, not Java's:
// they have no lookaround, and none takes for ever.
//
// pattern.go has how patterns are parsed, match.go how they match, compare.go which goes
// first, relate.go which covers or overlaps another.
package antpath
