package io.github.mnv4.app

import android.annotation.TargetApi
import android.app.Activity
import android.app.AlertDialog
import android.os.Build
import android.os.Bundle
import android.view.View
import android.view.ViewGroup
import android.view.WindowInsets
import android.widget.BaseAdapter
import android.widget.Button
import android.widget.RadioButton
import android.widget.TextView
import kotlinx.coroutines.MainScope
import kotlinx.coroutines.cancel

/** What the screens have in common: the model's button, messages, and room for the system's bars. */
internal abstract class Screen(
    private val layout: Int,
) : Activity() {
    protected val app: DemoApp get() = application as DemoApp
    protected val models: Models get() = app.models

    /** Runs what ends with the screen. */
    protected val scope = MainScope()

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(layout)
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.R) {
            // From Android 15 on, the bars lie over the app; before, there are none here.
            findViewById<View>(R.id.root).setOnApplyWindowInsetsListener { _, insets -> clear(insets) }
        }
        findViewById<View?>(R.id.back)?.setOnClickListener { finish() }
        findViewById<TextView?>(R.id.title)?.text = title
        findViewById<View>(R.id.model).setOnClickListener { pickModel() }
        showModel()
    }

    override fun onDestroy() {
        scope.cancel()
        super.onDestroy()
    }

    @TargetApi(Build.VERSION_CODES.R)
    private fun clear(insets: WindowInsets): WindowInsets {
        val bars = insets.getInsets(WindowInsets.Type.systemBars() or WindowInsets.Type.displayCutout())
        fit(bars.left, bars.top, bars.right, bars.bottom)
        return WindowInsets.CONSUMED
    }

    /** Keeps what one reads and touches clear of the system's bars, which are as wide as said. */
    protected open fun fit(
        left: Int,
        top: Int,
        right: Int,
        bottom: Int,
    ): Unit = findViewById<View>(R.id.root).setPadding(left, top, right, bottom)

    /** Another model was chosen. */
    protected abstract fun modelChanged()

    private fun showModel() {
        val name = models.chosen?.let(::name) ?: getString(R.string.no_models)
        val button = findViewById<Button>(R.id.model)
        button.text = name
        button.contentDescription = getString(R.string.model_chosen, name)
        button.isEnabled = models.all.isNotEmpty()
    }

    private fun name(model: Model): String =
        model.manifest?.let { getString(R.string.model_name, it.modelName, it.recipe) } ?: model.id

    private fun pickModel() {
        AlertDialog
            .Builder(this)
            .setTitle(R.string.choose_model)
            .setAdapter(Rows()) { _, i ->
                models.choose(models.all[i])
                showModel()
                modelChanged()
            }.show()
    }

    private inner class Rows : BaseAdapter() {
        override fun getCount() = models.all.size

        override fun getItem(position: Int) = models.all[position]

        override fun getItemId(position: Int) = position.toLong()

        override fun getView(
            position: Int,
            convertView: View?,
            parent: ViewGroup,
        ): View {
            val row = convertView ?: layoutInflater.inflate(R.layout.model_row, parent, false)
            val model = getItem(position)
            row.findViewById<TextView>(R.id.name).text = name(model)
            row.findViewById<TextView>(R.id.about).text = about(model)
            row.findViewById<RadioButton>(R.id.chosen).isChecked = model === models.chosen
            return row
        }
    }

    private fun about(model: Model): String {
        val manifest = model.manifest ?: return model.problem.orEmpty()
        val size = manifest.preprocess
        val runtime = getString(if (manifest.target == "tflite") R.string.litert else R.string.executorch)
        return getString(R.string.model_about, size.height, size.width, runtime, manifest.artifactBytes / 1e6)
    }

    /** Shows a message with something to do about it, or nothing to do. */
    protected fun say(
        title: Int,
        text: String,
        action: Int? = null,
        act: () -> Unit = {},
    ) {
        findViewById<View>(R.id.message).visibility = View.VISIBLE
        findViewById<TextView>(R.id.message_title).setText(title)
        findViewById<TextView>(R.id.message_text).text = text
        val button = findViewById<Button>(R.id.message_action)
        button.visibility = if (action == null) View.GONE else View.VISIBLE
        action?.let(button::setText)
        button.setOnClickListener { act() }
    }

    protected fun sayNothing() {
        findViewById<View>(R.id.message).visibility = View.GONE
    }

    /** Says that there is no model, if there is none. */
    protected fun lacksModels(): Boolean {
        if (models.chosen != null) return false
        say(R.string.no_models, getString(R.string.no_models_why))
        return true
    }
}
