/* SPDX-License-Identifier: MIT */
/*
 * completion.c - completions for bash, zsh and fish, from the table. Each is a
 * few functions that are the same for any table, and the table in the words of
 * that shell.
 */
#include "cmd.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

/* In single quotes: all three shells read that alike. `escaped`: characters
 * that have a meaning there still get a backslash. */
static void put_quoted(FILE *to, const char *text, const char *escaped)
{
	for (; *text; text++)
		if (*text == '\'')
			fputs("'\\''", to);
		else
			fprintf(to, "%s%c", strchr(escaped, *text) ? "\\" : "",
				*text);
}

/* What stands for its words in the scripts. */
static const char *kind_name(enum kind kind, words_of *words)
{
	static const struct {
		words_of *words;
		const char *name;
	} names[] = {
		{ spec_words, "spec" },	      { direction_words, "direction" },
		{ state_words, "state" },     { command_words, "command" },
		{ top_columns, "column" },
	};

	for (size_t i = 0; words && i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].words == words)
			return names[i].name;
	return kind == KIND_FILE	? "file"
	       : kind == KIND_DIRECTORY ? "directory"
					: "none";
}

static words_of *const all_words[] = {
	spec_words, direction_words, state_words, command_words, top_columns,
};

enum { ALL_WORDS = sizeof(all_words) / sizeof(all_words[0]) };

static bool takes(const struct command *c, enum option_id id)
{
	return id == OPTION_HELP || (c->options >> id & 1);
}

/* bash */

static const char bash_functions[] =
	"\n# KIND BEFORE TYPED: what can stand there, BEFORE being what stays in\n"
	"# front of it in the same word.\n"
	"_iobuf_reply() {\n"
	"	local before=$2 typed=$3 words='' cut word\n"
	"	local -a found=()\n"
	"	case $1 in\n"
	"	file) compopt -o filenames 2>/dev/null\n"
	"		mapfile -t found < <(compgen -f -- \"$typed\") ;;\n"
	"	directory) compopt -o filenames 2>/dev/null\n"
	"		mapfile -t found < <(compgen -d -- \"$typed\") ;;\n"
	"	*) words=$(_iobuf_words \"$1\") ;;\n"
	"	esac\n"
	"	if [[ $1 == spec ]]; then\n"
	"		compopt -o nospace 2>/dev/null\n"
	"		if [[ $typed == *,* ]]; then\n"
	"			before+=${typed%,*},\n"
	"			typed=${typed##*,}\n"
	"		fi\n"
	"	fi\n"
	"	[[ $words ]] && mapfile -t found < <(compgen -W \"$words\" -- \"$typed\")\n"
	"	# What readline takes for the word begins after a = or a :.\n"
	"	cut=$before$typed\n"
	"	if [[ $COMP_WORDBREAKS == *=* ]]; then cut=${cut%\"${cut##*[=:]}\"}\n"
	"	else cut=\n"
	"	fi\n"
	"	for word in \"${found[@]}\"; do\n"
	"		word=$before$word\n"
	"		COMPREPLY+=(\"${word#\"$cut\"}\")\n"
	"	done\n"
	"}\n"
	"\n"
	"_iobuf() {\n"
	"	local line=${COMP_LINE:0:COMP_POINT} typed command='' kind='' word\n"
	"	local -a words operands=()\n"
	"	local at=0\n"
	"	COMPREPLY=()\n"
	"	read -ra words <<<\"$line\"\n"
	"	typed=${line##*[[:blank:]]}\n"
	"	[[ $typed ]] && unset 'words[-1]'\n"
	"	if ((${#words[@]} < 2)); then\n"
	"		_iobuf_reply command '' \"$typed\"\n"
	"		return\n"
	"	fi\n"
	"	command=${words[1]}\n"
	"	for word in \"${words[@]:2}\"; do\n"
	"		if [[ $kind && $kind != none ]]; then kind=\n"
	"		elif [[ $word == -?* ]]; then\n"
	"			kind=$(_iobuf_option \"$command\" \"$word\")\n"
	"		else at=$((at + 1))\n"
	"		fi\n"
	"	done\n"
	"	if [[ $kind && $kind != none ]]; then\n"
	"		_iobuf_reply \"$kind\" '' \"$typed\"\n"
	"	elif [[ $typed == --*=* ]]; then\n"
	"		kind=$(_iobuf_option \"$command\" \"${typed%%=*}\")\n"
	"		_iobuf_reply \"$kind\" \"${typed%%=*}=\" \"${typed#*=}\"\n"
	"	elif [[ $typed == -* ]]; then\n"
	"		_iobuf_reply \"$command-options\" '' \"$typed\"\n"
	"	else\n"
	"		_iobuf_operands \"$command\"\n"
	"		((at < ${#operands[@]} || ${#operands[@]} == 0)) || "
	"[[ ${many:-} ]] || return 0\n"
	"		[[ ${many:-} ]] && at=0\n"
	"		_iobuf_reply \"${operands[at]:-none}\" '' \"$typed\"\n"
	"	fi\n"
	"}\n"
	"\ncomplete -F _iobuf iobuf\n";

static void bash_words(FILE *to, words_of *words)
{
	const char *word, *help;

	fprintf(to, "	%s) echo '", kind_name(KIND_WORD, words));
	for (size_t i = 0; (word = words(i, &help)); i++)
		fprintf(to, "%s%s", i ? " " : "", word);
	fputs("' ;;\n", to);
}

static void bash_options(FILE *to, const struct command *c)
{
	fprintf(to, "	%s-options) echo '", c->name);
	for (enum option_id id = 0; id < OPTIONS; id++)
		if (takes(c, id))
			fprintf(to, "--%s ", option_row(id)->name);
	fputs("' ;;\n", to);
}

/* Options that take a value, and which. */
static void bash_values(FILE *to, const struct command *c)
{
	for (enum option_id id = 0; id < OPTIONS; id++) {
		const struct option_row *o = option_row(id);

		if (!takes(c, id) || !o->argument)
			continue;
		fprintf(to, "	'%s --%s'", c->name, o->name);
		if (o->letter)
			fprintf(to, "|'%s -%c'", c->name, o->letter);
		fprintf(to, ") echo %s ;;\n",
			o->words || o->kind == KIND_DIRECTORY
				? kind_name(o->kind, o->words)
				: "any");
	}
}

static void bash_operands(FILE *to, const struct command *c)
{
	fprintf(to, "	%s) operands=(", c->name);
	for (size_t i = 0; i < 2 && c->operands[i].name; i++)
		fprintf(to, "%s%s", i ? " " : "",
			kind_name(c->operands[i].kind, c->operands[i].words));
	fprintf(to, ") many=%s ;;\n", c->operands[0].many ? "yes" : "");
}

static void print_bash(FILE *to)
{
	const struct command *c;

	fputs("# bash completion of iobuf(1), written by iobuf --completion bash\n"
	      "\n_iobuf_words() { # KIND\n	case $1 in\n", to);
	for (size_t i = 0; i < ALL_WORDS; i++)
		bash_words(to, all_words[i]);
	for (size_t i = 0; (c = command_at(i)); i++)
		bash_options(to, c);
	fputs("	esac\n}\n\n_iobuf_option() { # COMMAND OPTION: of its value\n"
	      "	case \"$1 $2\" in\n", to);
	for (size_t i = 0; (c = command_at(i)); i++)
		bash_values(to, c);
	fputs("	esac\n}\n\n_iobuf_operands() { # COMMAND\n"
	      "	case $1 in\n", to);
	for (size_t i = 0; (c = command_at(i)); i++)
		bash_operands(to, c);
	fputs("	esac\n}\n", to);
	fputs(bash_functions, to);
}

/* zsh */

static void zsh_words(FILE *to, words_of *words)
{
	const char *word, *help, *name = kind_name(KIND_WORD, words);

	fprintf(to, "\n_iobuf_%s() {\n	local -a words_of=(\n", name);
	for (size_t i = 0; (word = words(i, &help)); i++) {
		fputs("		'", to);
		put_quoted(to, word, ":");
		fputc(':', to);
		put_quoted(to, help, "");
		fputs("'\n", to);
	}
	/* A list goes on after a comma. */
	fprintf(to, "	)\n%s	_describe %s words_of%s\n}\n",
		words == spec_words ? "	compset -P '*,'\n" : "", name,
		words == spec_words ? " -S ''" : "");
}

static const char *zsh_action(enum kind kind, words_of *words)
{
	static char action[64];

	if (words) {
		snprintf(action, sizeof(action), "_iobuf_%s",
			 kind_name(kind, words));
		return action;
	}
	return kind == KIND_FILE	? "_files"
	       : kind == KIND_DIRECTORY ? "_files -/"
					: " ";
}

static void zsh_option(FILE *to, const struct option_row *o)
{
	const char *value = o->argument ? "=" : "";

	fputs(" \\\n			", to);
	if (o->letter)
		fprintf(to, "'(-%c --%s)'{-%c%s,--%s%s}", o->letter, o->name,
			o->letter, o->argument ? "+" : "", o->name, value);
	else
		fprintf(to, "--%s%s", o->name, value);
	fputs("'[", to);
	put_quoted(to, o->help, "[]");
	fputc(']', to);
	if (o->argument)
		fprintf(to, ":%s:%s", o->argument,
			zsh_action(o->kind, o->words));
	fputc('\'', to);
}

static void zsh_command(FILE *to, const struct command *c)
{
	fprintf(to, "	%s)\n		_arguments -s -S", c->name);
	for (enum option_id id = 0; id < OPTIONS; id++)
		if (takes(c, id))
			zsh_option(to, option_row(id));
	for (size_t i = 0; i < 2 && c->operands[i].name; i++) {
		const struct operand *o = &c->operands[i];

		fprintf(to, " \\\n			'");
		if (o->many)
			fputc('*', to);
		else
			fprintf(to, "%zu%s", i + 1, o->optional ? ":" : "");
		fprintf(to, ":%s:%s'", o->name, zsh_action(o->kind, o->words));
	}
	fputs(" ;;\n", to);
}

static void print_zsh(FILE *to)
{
	const struct command *c;

	fputs("#compdef iobuf\n"
	      "# zsh completion of iobuf(1), written by iobuf --completion zsh\n",
	      to);
	for (size_t i = 0; i < ALL_WORDS; i++)
		zsh_words(to, all_words[i]);
	fputs("\n_iobuf() {\n"
	      "	if ((CURRENT == 2)); then\n"
	      "		_iobuf_command\n		return\n	fi\n"
	      "	local command=$words[2]\n"
	      "	shift words\n	((CURRENT--))\n"
	      "	case $command in\n", to);
	for (size_t i = 0; (c = command_at(i)); i++)
		zsh_command(to, c);
	fputs("	esac\n}\n\n"
	      "# Loaded as a function, or read.\n"
	      "if [[ $funcstack[1] = _iobuf ]]; then _iobuf \"$@\"\n"
	      "else compdef _iobuf iobuf\nfi\n", to);
}

/* fish */

static const char fish_functions[] =
	"\n# What has been typed on the line before the word at the cursor: is it\n"
	"# this sub-command, with so many arguments?\n"
	"function __iobuf_at -a command at\n"
	"	set -l tokens (commandline -opc)\n"
	"	test (count $tokens) -ge 2; and test $tokens[2] = $command; or return 1\n"
	"	set -l seen 0\n"
	"	set -l value no\n"
	"	for token in $tokens[3..-1]\n"
	"		if test $value = yes\n"
	"			set value no\n"
	"		else if contains -- \"$command $token\" $__iobuf_valued\n"
	"			set value yes\n"
	"		else if not string match -q -- '-?*' $token\n"
	"			set seen (math $seen + 1)\n"
	"		end\n"
	"	end\n"
	"	test \"$at\" = any -o \"$seen\" = \"$at\"\n"
	"end\n"
	"\nfunction __iobuf_no_command\n"
	"	test (count (commandline -opc)) -lt 2\n"
	"end\n"
	"\n# A list goes on after a comma.\n"
	"function __iobuf_spec\n"
	"	set -l before (string replace -r '^--[a-z]*=' '' -- (commandline -ct) | "
	"string match -r '.*,')\n"
	"	for word in (__iobuf_spec_words)\n"
	"		echo \"$before$word\"\n"
	"	end\n"
	"end\n\ncomplete -c iobuf -f\n";

static void fish_words(FILE *to, words_of *words)
{
	const char *word, *help;

	fprintf(to, "\nfunction __iobuf_%s\n	printf '%%s\\t%%s\\n'",
		words == spec_words ? "spec_words" : kind_name(KIND_WORD, words));
	for (size_t i = 0; (word = words(i, &help)); i++) {
		fprintf(to, " \\\n		'%s' '", word);
		put_quoted(to, help, "");
		fputc('\'', to);
	}
	fputs("\nend\n", to);
}

static void fish_action(FILE *to, enum kind kind, words_of *words)
{
	if (words)
		fprintf(to, " -a '(__iobuf_%s)'", kind_name(kind, words));
	else if (kind == KIND_FILE)
		fputs(" -F", to);
	else if (kind == KIND_DIRECTORY)
		fputs(" -a '(__fish_complete_directories (commandline -ct))'", to);
}

static void fish_option(FILE *to, const char *command, const struct option_row *o)
{
	fprintf(to, "complete -c iobuf -n '__iobuf_at %s any' -l %s", command,
		o->name);
	if (o->letter)
		fprintf(to, " -s %c", o->letter);
	if (o->argument)
		fputs(" -x", to);
	fputs(" -d '", to);
	put_quoted(to, o->help, "");
	fputc('\'', to);
	if (o->argument)
		fish_action(to, o->kind, o->words);
	fputc('\n', to);
}

static void fish_command(FILE *to, const struct command *c)
{
	for (enum option_id id = 0; id < OPTIONS; id++)
		if (takes(c, id))
			fish_option(to, c->name, option_row(id));
	for (size_t i = 0; i < 2 && c->operands[i].name; i++) {
		fprintf(to, "complete -c iobuf -n '__iobuf_at %s ", c->name);
		if (c->operands[i].many)
			fputs("any'", to);
		else
			fprintf(to, "%zu'", i);
		fish_action(to, c->operands[i].kind, c->operands[i].words);
		fputc('\n', to);
	}
}

static void print_fish(FILE *to)
{
	const struct command *c;

	fputs("# fish completion of iobuf(1), written by iobuf --completion fish\n"
	      "\nset -g __iobuf_valued", to);
	for (size_t i = 0; (c = command_at(i)); i++)
		for (enum option_id id = 0; id < OPTIONS; id++) {
			const struct option_row *o = option_row(id);

			if (!takes(c, id) || !o->argument)
				continue;
			fprintf(to, " '%s --%s'", c->name, o->name);
			if (o->letter)
				fprintf(to, " '%s -%c'", c->name, o->letter);
		}
	fputc('\n', to);
	for (size_t i = 0; i < ALL_WORDS; i++)
		fish_words(to, all_words[i]);
	fputs(fish_functions, to);
	fputs("complete -c iobuf -n __iobuf_no_command -a '(__iobuf_command)'\n",
	      to);
	for (size_t i = 0; (c = command_at(i)); i++)
		fish_command(to, c);
}

int completion_print(FILE *to, const char *shell)
{
	static const struct {
		const char *name;
		void (*print)(FILE *to);
	} shells[] = {
		{ "bash", print_bash },
		{ "zsh", print_zsh },
		{ "fish", print_fish },
	};

	for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++)
		if (!strcmp(shells[i].name, shell)) {
			shells[i].print(to);
			return EXIT_SUCCESS;
		}
	fputs("iobuf: completions are for bash, zsh and fish, not ", stderr);
	put_text(stderr, shell);
	fputc('\n', stderr);
	return EXIT_USAGE;
}
