# SPDX-License-Identifier: GPL-2.0-only
#
# Usage: awk -f probe.awk -v headers=DIR PROBE...
#
# Prints -DSYMBOL for each PROBE that finds its declaration, then -DVFMIG_PROBED;
# or one line that doesn't begin with -D if a header is missing, whose name would
# otherwise say "no" for every kernel to come.
#
# PROBE is SYMBOL:HEADER:WORD[,WORD]...  The declaration is one of DIR/HEADER that
# has these words in this order, whole words, whatever is between them.  What
# comments and strings say is no part of it.  A preprocessor directive is a
# declaration too.  See Kbuild.probe, which runs this.

BEGIN {
	for (i = 1; i < ARGC; i++) {
		if (split(ARGV[i], part, ":") != 3 || part[3] == "")
			fail("bad probe " ARGV[i])
		symbol[i] = part[1]
		header[i] = part[2]
		gsub(/,/, " ", part[3])
		words[i] = part[3]
	}
	for (i = 1; i < ARGC; i++)
		if (!(header[i] in seen)) {
			seen[header[i]] = 1
			read_header(header[i])
		}
	for (i = 1; i < ARGC; i++)
		if (i in found)
			printf "-D%s ", symbol[i]
	print "-DVFMIG_PROBED"
	exit
}

function fail(message)
{
	print "vfmig: " message
	exit 1
}

function read_header(name,	file, line, more, ret, n, j, piece)
{
	file = headers "/" name
	in_comment = 0
	declaration = ""
	while ((ret = (getline line < file)) > 0) {
		# What a line continues is joined first, as the compiler does
		while (line ~ /\\$/ && (getline more < file) > 0)
			line = substr(line, 1, length(line) - 1) more
		line = strip(line)
		if (line ~ /^[ \t]*#/) {
			judge(name, line)
			continue
		}
		n = split(line, piece, /[;{}]/)
		for (j = 1; j <= n; j++) {
			declaration = declaration " " piece[j]
			if (j < n) {
				judge(name, declaration)
				declaration = ""
			}
		}
	}
	if (ret < 0)
		fail("no " file " to look into for what this kernel has")
	close(file)
	judge(name, declaration)
}

# The line without strings, and without comments, of which one may go on
function strip(line,	out, text)
{
	out = ""
	while (1) {
		if (in_comment) {
			if (!match(line, /\*\//))
				return out
			line = substr(line, RSTART + 2)
			in_comment = 0
		}
		if (!match(line, /\/\*|\/\/|"([^"\\]|\\.)*"|'([^'\\]|\\.)+'/))
			return out line
		out = out substr(line, 1, RSTART - 1) " "
		text = substr(line, RSTART, 2)
		if (text == "//")
			return out
		in_comment = text == "/*"
		line = substr(line, RSTART + (in_comment ? 2 : RLENGTH))
	}
}

# Do the probes of this header find their words in this declaration?
function judge(name, text,	i, j, n, at, rest, word)
{
	gsub(/[^A-Za-z0-9_]+/, " ", text)
	text = " " text " "
	for (i = 1; i < ARGC; i++) {
		if (header[i] != name || (i in found))
			continue
		n = split(words[i], word, " ")
		rest = text
		for (j = 1; j <= n; j++) {
			at = index(rest, " " word[j] " ")
			if (!at)
				break
			# The blank after a word may be the one before the next
			rest = substr(rest, at + length(word[j]) + 1)
		}
		if (j > n)
			found[i] = 1
	}
}
