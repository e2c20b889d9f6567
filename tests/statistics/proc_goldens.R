# Writes proc_goldens.json: pROC's figures on random scores, the golden values of
# intervals_test.py. Run once by hand: Rscript proc_goldens.R > proc_goldens.json
# (Debian: r-cran-proc, r-cran-jsonlite).
suppressMessages(library(pROC))
set.seed(20)
case <- function(name, labels, first, second) {
  one <- roc(labels, first, quiet = TRUE, direction = "<", levels = c(0, 1))
  two <- roc(labels, second, quiet = TRUE, direction = "<", levels = c(0, 1))
  limits <- ci.auc(one, method = "delong")
  test <- roc.test(one, two, method = "delong", paired = TRUE)
  swapped <- auc(one, partial.auc = c(1, .9), partial.auc.focus = "sensitivity",
                 partial.auc.correct = TRUE)
  list(name = name, labels = labels, first = first, second = second,
       auc_first = as.numeric(auc(one)), auc_second = as.numeric(auc(two)),
       low = limits[1], high = limits[3],
       variance_first = var(one, method = "delong"),
       variance_second = var(two, method = "delong"),
       covariance = cov(one, two, method = "delong"),
       p = as.numeric(test$p.value), low_difference = as.numeric(test$conf.int[1]),
       high_difference = as.numeric(test$conf.int[2]),
       partial_auc_tpr_90 = as.numeric(swapped))
}
labels <- rep(c(1, 0), c(60, 140))
signal <- rnorm(200) + 1.5 * labels
small <- rep(c(1, 0), c(9, 14))
coarse <- rnorm(23) + small
good <- rep(c(1, 0), c(40, 160))
sharp <- rnorm(200) + 4 * good
cases <- list(
  case("plain", labels, round(signal, 6), round(signal + rnorm(200), 6)),
  case("ties", labels, round(signal), round(signal + rnorm(200))),
  case("few", small, round(coarse, 1), round(coarse + rnorm(23), 1)),
  case("near one", good, round(sharp, 6), round(sharp + rnorm(200) / 2, 6)))
cat(jsonlite::toJSON(list(pROC = as.character(packageVersion("pROC")), cases = cases),
                     digits = 17, auto_unbox = TRUE))
