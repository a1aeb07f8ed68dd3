"""CNN -> SimpleRNN -> LSTM -> softmax verdict, with a timeline from the same recurrent states.

Only stock Keras 3 layers: a saved network loads anywhere with ``keras.models.load_model(path, compile=False)``,
on any Keras backend, with no custom objects.
"""

from __future__ import annotations

import numpy as np

from ..settings import CLASS_NAMES, FeatureSettings, NetworkSettings, WindowSettings

VERDICT = "verdict"
TIMELINE = "timeline"
BOUNDARIES = "boundaries"

BATCH_MOMENTUM = 0.9
"""Of the running statistics in batch normalisation: a small corpus makes few steps, Keras's 0.99 would lag behind."""

MOST_BLOCK_STEPS = 5
"""Recurrent steps over which the texture is averaged at least: one step holds too little of it, and fewer cost less."""


def build_network(network: NetworkSettings, window: WindowSettings, features: FeatureSettings, unroll: bool = False):
    """Build the untrained network.

    The convolutions shrink time by ``window.frames_per_step`` and frequency by two per layer; what is left of
    frequency becomes one vector per step, and the recurrence runs over those steps, along time.

    Parameters
    ----------
    network, window, features : settings
        Widths, window length and mel bands.
    unroll : bool
        Write the recurrence out step by step: the same weights and answers, faster to train, slower to load.

    Returns
    -------
    keras.Model
        Input: float32, shape (batch, window.frames, mel_bands), from
        :func:`deepfake_audio.features.windows.normalise_window`. Outputs: ``verdict``, shape (batch, 3), probabilities
        in ``CLASS_NAMES`` order; ``timeline`` and ``boundaries``, both of shape (batch, window.label_frames, 1),
        probability of fake and of a boundary between two spans, whatever they are.
    """
    from .backend import keras

    layers = keras.layers
    inputs = layers.Input((window.frames, features.mel_bands), name="log_mel")
    x = layers.Reshape((window.frames, features.mel_bands, 1))(inputs)
    texture = _texture(x, network, window) if network.texture_filters else None
    x = _vectors(_convolutions(x, network, window), texture, network, window)
    x = _recurrence(x, network, unroll)

    timeline = layers.Dense(window.labels_per_step, activation="sigmoid", name="step_labels")(x)
    timeline = layers.Reshape((window.label_frames, 1), name=TIMELINE)(timeline)
    boundaries = layers.Dense(window.labels_per_step, activation="sigmoid", name="step_boundaries")(x)
    boundaries = layers.Reshape((window.label_frames, 1), name=BOUNDARIES)(boundaries)
    summary = _summary(x, texture, network)
    verdict = layers.Dense(len(CLASS_NAMES), activation="softmax", name=VERDICT)(summary)
    model = keras.Model(inputs, {VERDICT: verdict, TIMELINE: timeline, BOUNDARIES: boundaries}, name="cnn_rnn_lstm")
    if network.texture_filters:
        layer = model.get_layer("texture")
        kernels, bias = layer.get_weights()
        layer.set_weights([_with_differences(kernels), bias])
    return model


# The parts, in the order in which their layers are made: weights and seeds count on it. Tensors have the shapes
# (batch, frames or steps, mel bands, channels) up to the vectors, then (batch, steps, units).


def _texture(x, network: NetworkSettings, window: WindowSettings):
    """Tell how rough the spectrum is along frequency and time, band by band: synthesis smooths what a voice roughens.

    It shows in averages over every band, which strides and maxima lose; averages allow strides along time.
    """
    from .backend import keras

    layers, bands, block = keras.layers, x.shape[2], block_steps(window)
    # The outputs at full resolution are the largest there are: what is not done to them, batch normalisation for
    # one, is not paid for.
    x = layers.Conv2D(network.texture_filters, 5, strides=(window.frames_per_step, 1), padding="same", name="texture")(
        x
    )
    x = layers.Activation("relu")(x)
    x = layers.Reshape((window.steps, bands * network.texture_filters))(x)
    return layers.AveragePooling1D(block)(x)


def block_steps(window: WindowSettings) -> int:
    """Return over how many recurrent steps the texture is averaged: as many as divide a window."""
    return next(steps for steps in range(MOST_BLOCK_STEPS, 0, -1) if window.steps % steps == 0)


def _convolutions(x, network: NetworkSettings, window: WindowSettings):
    """Shrink time by ``window.frames_per_step`` and frequency by two per layer."""
    from .backend import keras

    layers, to_shrink = keras.layers, window.frames_per_step
    for number, filters in enumerate(network.convolution_filters):
        shrink_time = 2 if to_shrink % 2 == 0 else 1
        to_shrink //= shrink_time
        # The first layer works at full resolution and is the dearest: it always strides.
        first = number == 0
        strided = first or network.strided
        x = layers.Conv2D(
            filters,
            5 if first else 3,
            strides=(shrink_time, 2) if strided else 1,
            padding="same",
            use_bias=first,
            name=f"convolution_{number}",
        )(x)
        if not first:
            x = layers.BatchNormalization(momentum=BATCH_MOMENTUM)(x)
        x = layers.Activation("relu")(x)
        if not strided:
            x = layers.MaxPooling2D((shrink_time, 2))(x)
        if not first:
            x = layers.SpatialDropout2D(network.dropout / 3)(x)
    if to_shrink != 1:
        raise ValueError(
            f"{len(network.convolution_filters)} convolutions cannot shrink time by {window.frames_per_step}"
        )
    return x


def _vectors(x, texture, network: NetworkSettings, window: WindowSettings):
    """Make one vector per step of what is left of frequency and of the texture around the step."""
    from .backend import keras

    layers, block = keras.layers, block_steps(window)
    x = layers.Reshape((window.steps, x.shape[2] * x.shape[3]))(x)
    x = layers.Dense(network.rnn_units, use_bias=False, name="bands_to_vector")(x)
    if texture is not None:
        here = layers.BatchNormalization(momentum=BATCH_MOMENTUM)(texture)
        here = layers.SpatialDropout1D(network.texture_dropout)(here)
        here = layers.Dense(network.rnn_units, use_bias=False, name="texture_to_vector")(here)
        # Around a step the texture is surer, in its own block it is nearer to where a splice begins.
        wide = max(1, round(network.texture_steps / block))
        around = layers.AveragePooling1D(wide, strides=1, padding="same")(here)
        both = layers.UpSampling1D(block)(layers.Concatenate()([around, here]))
        x = layers.Concatenate()([x, both])
    # A plain SimpleRNN saturates on inputs that are not centred and scaled.
    x = layers.BatchNormalization(momentum=BATCH_MOMENTUM)(x)
    x = layers.Activation("relu")(x)
    return layers.Dropout(network.dropout)(x)


def _recurrence(x, network: NetworkSettings, unroll: bool):
    """Run SimpleRNN and LSTM along the steps and return the states of both."""
    from .backend import keras

    layers, options = keras.layers, {"return_sequences": True, "unroll": unroll}
    short = layers.Bidirectional(layers.SimpleRNN(network.rnn_units // 2, **options), name="simple_rnn")(x)
    short = layers.LayerNormalization()(short)
    long = layers.Bidirectional(layers.LSTM(network.lstm_units // 2, **options), name="lstm")(short)
    # The SimpleRNN forgets within a syllable and places a splice; the LSTM remembers the voice.
    return layers.Concatenate(name="states")([short, long])


def _summary(x, texture, network: NetworkSettings):
    """Make one vector of all steps: a short span leaves its mark on the maximum, the voice as a whole on the mean."""
    from .backend import keras

    layers = keras.layers
    summary = layers.Concatenate()([layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)])
    summary = layers.Dropout(network.dropout)(summary)
    if texture is not None:
        summary = layers.Dropout(network.path_dropout, noise_shape=(None, 1))(summary)
        average = layers.BatchNormalization(momentum=BATCH_MOMENTUM)(layers.GlobalAveragePooling1D()(texture))
        summary = layers.Concatenate()([summary, layers.Dropout(network.texture_dropout)(average)])
    return summary


def _with_differences(kernels: np.ndarray) -> np.ndarray:
    """Start the first texture filters as differences of neighbours along frequency, along time and along both.

    Parameters
    ----------
    kernels : ndarray, shape (5, 5, 1, filters)
        Random ones; axes 0 and 1 are time and frequency.
    """
    apart = {1: [0, 0, 1, -1, 0], 2: [0, 1, -2, 1, 0], 4: [1, -4, 6, -4, 1]}
    wide, middle, smooth = [1, 0, -2, 0, 1], [0, 0, 1, 0, 0], [0, 1, 2, 1, 0]
    shapes = [(middle, d) for d in (*apart.values(), wide)]
    shapes += [(d, middle) for d in (*apart.values(), wide, [0, 0, 1, 0, -1], [1, 0, 0, 0, -1])]
    shapes += [(smooth, apart[2]), (apart[1], apart[1]), (apart[1], apart[2])]
    scale = np.sqrt(np.mean(np.sum(kernels**2, axis=(0, 1, 2))))
    kernels = kernels.copy()
    for number, (along_time, along_frequency) in enumerate(shapes[: kernels.shape[-1]]):
        kernel = np.outer(along_time, along_frequency).astype(np.float32)
        kernels[:, :, 0, number] = kernel * scale / np.linalg.norm(kernel)
    return kernels
