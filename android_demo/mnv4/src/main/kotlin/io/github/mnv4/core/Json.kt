package io.github.mnv4.core

/** An error in a JSON text: the place, what was found, and what is allowed. */
@Mnv4Internal
public class JsonException(
    message: String,
) : Exception(message)

/** A number as it is written, because a record distinguishes 2 from 2.0. */
private class JsonNumber(
    val text: String,
)

/** A value in a JSON text, with its place for messages, as in `outputs[0].shape`. */
@Mnv4Internal
public class Json private constructor(
    private val value: Any?,
    private val place: String,
) {
    /** The keys of an object; [read] has to read each of them. */
    public class Entries internal constructor(
        private val values: Map<*, *>,
        private val place: String,
    ) {
        private val taken = HashSet<String>()

        /** Returns the value of a required key. */
        public operator fun get(key: String): Json = optional(key) ?: throw JsonException("${at(key)}: missing")

        /** Returns the value of a key, or null if it is absent. */
        public fun optional(key: String): Json? {
            taken += key
            return if (key in values) Json(values[key], at(key)) else null
        }

        /** Refuses a record of a newer version. */
        public fun schema(newest: Int) {
            val found = get("schema").integer()
            if (found > newest) {
                val versions = "(schema $found, this one reads $newest)"
                refuse("schema", "written by a newer version $versions; update the mnv4 library")
            }
        }

        /** Refuses the value of a key. */
        public fun refuse(
            key: String,
            message: String,
        ): Nothing = throw JsonException("${at(key)}: $message")

        internal fun refuseOthers() {
            val other = values.keys.firstOrNull { it !in taken } ?: return
            refuse("$other", "unknown key, allowed: ${taken.joinToString()}")
        }

        private fun at(key: String) = if (place.isEmpty()) key else "$place.$key"
    }

    /** Reads an object with fixed keys. */
    public fun <T> record(read: Entries.() -> T): T {
        val entries = Entries(value as? Map<*, *> ?: refuse("an object"), place)
        return entries.read().also { entries.refuseOthers() }
    }

    /** Returns an object whose keys are data. */
    public fun map(): Map<String, Json> =
        (value as? Map<*, *> ?: refuse("an object")).entries.associate { (key, value) ->
            "$key" to Json(value, "$place.$key")
        }

    /** Returns the values of a list. */
    public fun list(
        least: Int = 0,
        most: Int = Int.MAX_VALUE,
    ): List<Json> {
        val values = value as? List<*> ?: refuse("a list")
        if (values.size < least || values.size > most) {
            val count = if (least == most) "$least" else "$least or more"
            throw JsonException("$place: found ${values.size} entries, must be $count")
        }
        return values.mapIndexed { i, value -> Json(value, "$place[$i]") }
    }

    /** Returns a string. */
    public fun text(): String = value as? String ?: refuse("a string")

    /** Returns a string that matches a pattern. */
    public fun text(pattern: Regex): String = text().also { if (!pattern.matches(it)) refuse("of the form $pattern") }

    /** Returns one of the allowed strings. */
    public fun oneOf(allowed: List<String>): String =
        text().also { if (it !in allowed) refuse("one of ${allowed.joinToString()}") }

    /** Returns true or false. */
    public fun flag(): Boolean = value as? Boolean ?: refuse("true or false")

    /** Returns an integer within bounds. */
    public fun integer(
        least: Long,
        most: Long,
    ): Long {
        val found = (value as? JsonNumber)?.text?.toLongOrNull()
        return found?.takeIf { it in least..most } ?: refuse("an integer from $least to $most")
    }

    /** Returns an integer of 32 bits. */
    public fun integer(least: Int = 1): Int = integer(least.toLong(), Int.MAX_VALUE.toLong()).toInt()

    /** Returns a number within bounds. */
    public fun number(
        least: Double = -Double.MAX_VALUE,
        most: Double = Double.MAX_VALUE,
    ): Double {
        val found = (value as? JsonNumber)?.text?.toDouble()
        if (found != null && found in least..most) return found
        refuse(if (most == Double.MAX_VALUE) "a number, $least or more" else "a number from $least to $most")
    }

    /** Returns null for null, and otherwise what [read] returns. */
    public fun <T> orNull(read: Json.() -> T): T? = if (value == null) null else read()

    /** Refuses anything but a string, an integer or a boolean. */
    public fun checkOption() {
        if (value is JsonNumber) {
            integer(-MOST_EXACT, MOST_EXACT)
        } else if (value !is String && value !is Boolean) {
            refuse("a string, an integer or a boolean")
        }
    }

    /** Refuses the value, and says what is allowed. */
    public fun refuse(allowed: String): Nothing {
        val found =
            when (value) {
                is String -> "'$value'"
                is JsonNumber -> value.text
                is List<*> -> "a list"
                is Map<*, *> -> "an object"
                else -> "$value"
            }
        throw JsonException("${place.ifEmpty { "the text" }}: found $found, must be $allowed")
    }

    /** Reads JSON. */
    public companion object {
        /**
         * Reads a JSON text strictly: it allows no duplicate keys, no comments and nothing after the end.
         *
         * `org.json` accepts more than JSON, and changes some values.
         *
         * @throws JsonException if it is not JSON.
         */
        internal fun parse(text: String): Json = Json(Parser(text).document(), "")

        /**
         * Reads a record.
         *
         * @param wrong makes the exception for a message.
         */
        public fun <T> record(
            text: String,
            wrong: (String) -> Exception,
            read: Entries.() -> T,
        ): T =
            try {
                parse(text).record(read)
            } catch (error: JsonException) {
                throw wrong(error.message.orEmpty())
            }
    }

    private class Parser(
        private val text: String,
    ) {
        private var at = 0

        fun document(): Any? {
            val found = value("", 0)
            if (next() != null) refuse()
            return found
        }

        private fun value(
            place: String,
            depth: Int,
        ): Any? {
            if (depth > MOST_DEEP) throw JsonException("not JSON: nested too deeply")
            return when (next()) {
                '{' -> entries(place, depth)
                '[' -> list(place, depth)
                '"' -> string()
                else -> literal()
            }
        }

        private fun entries(
            place: String,
            depth: Int,
        ): Map<String, Any?> {
            val found = LinkedHashMap<String, Any?>()
            separated('}') {
                if (next() != '"') refuse()
                val key = string()
                val where = if (place.isEmpty()) key else "$place.$key"
                if (key in found) throw JsonException("$where: occurs twice")
                if (next() != ':') refuse()
                at++
                found[key] = value(where, depth + 1)
            }
            return found
        }

        private fun list(
            place: String,
            depth: Int,
        ): List<Any?> {
            val found = ArrayList<Any?>()
            separated(']') { found += value("$place[${found.size}]", depth + 1) }
            return found
        }

        /** Reads entries up to [end], with commas between them. */
        private fun separated(
            end: Char,
            entry: () -> Unit,
        ) {
            at++
            if (next() != end) {
                entry()
                while (next() == ',') {
                    at++
                    entry()
                }
            }
            if (next() != end) refuse()
            at++
        }

        private fun string(): String {
            val found = StringBuilder()
            at++
            while (true) {
                val char = text.getOrNull(at++) ?: refuse()
                when {
                    char == '"' -> return found.toString().also { if (LONELY in it) refuse() }
                    char < ' ' -> refuse()
                    char == '\\' -> found.append(escape())
                    else -> found.append(char)
                }
            }
        }

        private fun escape(): Char {
            val char = text.getOrNull(at++) ?: refuse()
            if (char == 'u') {
                val code = text.substring(at, minOf(at + 4, text.length))
                if (!HEXADECIMAL.matches(code)) refuse()
                at += 4
                return code.toInt(16).toChar()
            }
            val i = "\"\\/bfnrt".indexOf(char)
            return if (i < 0) refuse() else "\"\\/\b\u000c\n\r\t"[i]
        }

        private fun literal(): Any? {
            val found = LITERAL.matchAt(text, at)?.value ?: refuse()
            at += found.length
            return when (found) {
                "true" -> true
                "false" -> false
                "null" -> null
                else -> JsonNumber(found)
            }
        }

        /** Returns the next character that is not white space. */
        private fun next(): Char? {
            while (at < text.length && text[at] in " \n\r\t") at++
            return text.getOrNull(at)
        }

        private fun refuse(): Nothing = throw JsonException("not JSON: at character ${minOf(at, text.length)}")
    }
}

/** The largest integer that every language can hold: JavaScript's numbers have 53 bits. */
internal const val MOST_EXACT: Long = (1L shl 53) - 1

private const val MOST_DEEP = 64

/** Half of a surrogate pair. */
private val LONELY = Regex("\\p{Cs}")

private val HEXADECIMAL = Regex("[0-9a-fA-F]{4}")
private val LITERAL = Regex("true|false|null|-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?")
