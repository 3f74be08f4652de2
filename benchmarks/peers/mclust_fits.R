# Fits mclust's mixtures and writes one JSON object per line: first the data, then a fit each.
#
#   Rscript mclust_fits.R FILE MOST_K NAME [NAME ...]
#
# Names are data sets of mclust and of R. Every family is started as mclust starts it (hierarchical
# clustering; quantiles in one feature), and run twice: to mclust's own tolerance and to 1e-12. The
# likelihood is that of mclust's own densities at the parameters that stand beside it.

suppressWarnings(suppressPackageStartupMessages(library(mclust)))

arguments <- commandArgs(trailingOnly = TRUE)
path <- arguments[[1]]
most_k <- as.integer(arguments[[2]])
names_of_data <- arguments[-(1:2)]
FAMILIES <- list(full = "VVV", tied = "EEE", diag = "VVI", spherical = "VII")
UNIVARIATE <- list(full = "V", tied = "E")
TOLERANCES <- list(default = emControl(), tight = emControl(tol = c(1e-12, 1e-12), itmax = 1e5))

numbers <- function(x) {
  text <- sprintf("%.17g", x)
  text[!is.finite(x)] <- "null"
  paste0("[", paste(text, collapse = ","), "]")
}
number <- function(x) substring(text <- numbers(x), 2, nchar(text) - 1)
text <- function(x) paste0("\"", x, "\"")
object <- function(...) {
  values <- list(...)
  paste0("{", paste0("\"", names(values), "\":", values, collapse = ","), "}")
}

# The numeric columns of a data set, without its column of classes.
read_data <- function(name) {
  x <- get(name)
  if (is.data.frame(x)) x <- x[vapply(x, is.double, TRUE)]
  unname(as.matrix(x))
}

write_fit <- function(out, name, x, family, tolerance, fits, k) {
  model <- if (is.na(fits[k, 1])) NULL else mclustModel(x, fits, G = k)
  singular <- object(data = text(name), family = text(family), K = k, loglik = "null")
  if (is.null(model)) return(writeLines(singular, out))
  sigma <- model$parameters$variance
  p <- ncol(x)
  covariances <- if (p == 1) rep(sigma$sigmasq, length.out = k) else as.vector(sigma$sigma)
  weights <- if (k == 1) 1 else model$parameters$pro
  density <- dens(if (p == 1) x[, 1] else x, model$modelName, model$parameters, logarithm = TRUE)
  writeLines(object(
    data = text(name), family = text(family), K = k, tolerance = text(tolerance),
    loglik = number(sum(density)), loglik_said = number(model$loglik), bic = number(fits[k, 1]),
    df = nMclustParams(FAMILY_NAMES[[family]], p, k),
    weights = numbers(weights), means = numbers(as.vector(model$parameters$mean)),
    covariances = numbers(covariances)
  ), out)
}

out <- file(path, "w")
writeLines(object(r = text(getRversion()), mclust = text(packageVersion("mclust"))), out)
for (name in names_of_data) {
  x <- read_data(name)
  writeLines(object(data = text(name), shape = numbers(dim(x)), rows = numbers(t(x))), out)
  FAMILY_NAMES <- if (ncol(x) == 1) UNIVARIATE else FAMILIES
  for (family in names(FAMILY_NAMES)) for (tolerance in names(TOLERANCES)) {
    set.seed(0)
    fits <- suppressWarnings(mclustBIC(
      if (ncol(x) == 1) x[, 1] else x, G = seq_len(most_k), modelNames = FAMILY_NAMES[[family]],
      control = TOLERANCES[[tolerance]], verbose = FALSE
    ))
    for (k in seq_len(most_k)) write_fit(out, name, x, family, tolerance, fits, k)
  }
}
close(out)
